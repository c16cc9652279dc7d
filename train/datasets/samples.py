"""What a data set is made of: samples, and a split of them into training and test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid.types import IntArray
from train.errors import DatasetError

UNLABELLED_PID = -2
"""Nobody has said who this is: good for adaptation, useless for training with labels and for a test."""
JUNK_PID = -1
DISTRACTOR_PID = 0


@dataclass(frozen=True, slots=True)
class ReidSample:
    """One crop.

    Attributes:
        path: The picture.
        pid: Labelled identity; 0 a distractor (nobody's match), -1 junk (ignored by every protocol), -2 unlabelled.
        camid: Camera, numbered from 1.
        sequence: Recording; pid, camid and sequence together name a tracklet.
        frame: Frame number within the recording.
    """

    path: Path
    pid: int
    camid: int
    sequence: int
    frame: int


class Split(NamedTuple):
    """Which samples train and which test; any part may be empty."""

    train: tuple[ReidSample, ...]
    query: tuple[ReidSample, ...]
    gallery: tuple[ReidSample, ...]


def pids_of(samples: Sequence[ReidSample]) -> IntArray:
    """(N,) int64 identities."""
    return np.array([sample.pid for sample in samples], dtype=np.int64)


def camids_of(samples: Sequence[ReidSample]) -> IntArray:
    """(N,) int64 cameras."""
    return np.array([sample.camid for sample in samples], dtype=np.int64)


def class_labels(pids: IntArray) -> IntArray:
    """Number identities 0 … K-1 in sorted order, as a classifier wants them."""
    return np.unique(pids, return_inverse=True)[1].astype(np.int64)


def labelled_pids(samples: Iterable[ReidSample]) -> list[int]:
    """Identities of persons, sorted: neither distractors nor junk nor unlabelled."""
    return sorted({sample.pid for sample in samples if sample.pid > DISTRACTOR_PID})


def are_labelled(samples: Iterable[ReidSample]) -> bool:
    """Whether every sample says who it shows."""
    return all(sample.pid != UNLABELLED_PID for sample in samples)


def require_labels(samples: Iterable[ReidSample]) -> None:
    """Refuse unlabelled samples where identities are needed.

    Raises:
        DatasetError: One is unlabelled; the first is named.
    """
    for sample in samples:
        if sample.pid == UNLABELLED_PID:
            raise DatasetError(f"{sample.path} has no identity: unlabelled pictures serve 'osprey-train adapt' only")


def tracklets_of(samples: Sequence[ReidSample]) -> tuple[tuple[int, ...], ...]:
    """Rows of `samples` that form one tracklet each (same identity, camera and recording), in order of frames."""
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, sample in enumerate(samples):
        rows.setdefault((sample.pid, sample.camid, sample.sequence), []).append(row)
    return tuple(tuple(sorted(members, key=lambda row: samples[row].frame)) for members in rows.values())
