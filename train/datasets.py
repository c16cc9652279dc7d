"""Labelled ReID data sets: file names in, samples out. No picture is opened here; `train.crop_cache` does that.

A reader checks the counts that its data set is known to have and names the first file it cannot place. Splits say which
samples train, which are probes and which are searched:

    market-500-251   the 751 training identities of Market-1501, sorted; the first 500 train, the last 251 are the test
                     (query: of each identity and camera the first crop by name; gallery: the rest)
    all              every labelled identity trains, nothing is left to test on
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid.types import IntArray
from train.errors import DatasetError

JUNK_PID = -1
DISTRACTOR_PID = 0


@dataclass(frozen=True, slots=True)
class ReidSample:
    """One labelled crop.

    Attributes:
        path: The picture.
        pid: Labelled identity; -1 junk (ignored by every protocol), 0 a distractor (nobody's match).
        camid: Camera, numbered from 1 as in the data set.
        sequence: Recording; pid, camid and sequence together name a tracklet.
        frame: Frame number within the recording.
    """

    path: Path
    pid: int
    camid: int
    sequence: int
    frame: int


class Split(NamedTuple):
    """Which samples train and which test."""

    train: tuple[ReidSample, ...]
    query: tuple[ReidSample, ...]
    gallery: tuple[ReidSample, ...]


class Counts(NamedTuple):
    """Published size of a data set."""

    num_crops: int
    num_pids: int


_MARKET_NAME = re.compile(r"(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg")
_MARKET_TRAIN_COUNTS = Counts(num_crops=12_936, num_pids=751)
_MARKET_TRAIN_FOLDER = "bounding_box_train"


def parse_market_name(path: Path) -> ReidSample:
    """Read `PPPP_cCsS_FFFFFF_BB.jpg`.

    Raises:
        DatasetError: The name has another form.
    """
    match = _MARKET_NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPPP_cCsS_FFFFFF_BB.jpg; is this a Market-1501 folder?")
    pid, camid, sequence, frame, _ = (int(part) for part in match.groups())
    return ReidSample(path=path, pid=pid, camid=camid, sequence=sequence, frame=frame)


def read_market_folder(folder: Path) -> tuple[ReidSample, ...]:
    """Read the names of one folder of Market-1501 crops, sorted by name; files other than .jpg are left alone.

    Raises:
        DatasetError: The folder is missing or has no .jpg, or a name has another form.
    """
    if not folder.is_dir():
        raise DatasetError(f"data folder {folder} does not exist")
    samples = tuple(parse_market_name(path) for path in sorted(folder.glob("*.jpg")))
    if not samples:
        raise DatasetError(f"data folder {folder} holds no .jpg file; wanted Market-1501 crops")
    return samples


def read_market1501(root: Path) -> tuple[ReidSample, ...]:
    """Read the training part of Market-1501 and check that it is whole.

    Args:
        root: The folder `bounding_box_train`, or the one that holds it.

    Raises:
        DatasetError: Missing, misnamed or incomplete.
    """
    inner = root / _MARKET_TRAIN_FOLDER
    folder = inner if inner.is_dir() else root
    samples = read_market_folder(folder)
    check_counts(samples, _MARKET_TRAIN_COUNTS, name=f"Market-1501 training part in {folder}")
    return samples


def check_counts(samples: Sequence[ReidSample], wanted: Counts, *, name: str) -> None:
    """Refuse an incomplete data set.

    Raises:
        DatasetError: Crops or identities (junk and distractors apart) are not as many as published.
    """
    came = Counts(num_crops=len(samples), num_pids=len(_labelled_pids(samples)))
    if came != wanted:
        raise DatasetError(
            f"{name}: {came.num_crops} crops of {came.num_pids} identities, wanted {wanted.num_crops} of "
            f"{wanted.num_pids}; the copy is incomplete or holds other files"
        )


def split_all(samples: Sequence[ReidSample]) -> Split:
    """Train on every labelled identity; nothing is left to test on."""
    return Split(train=tuple(s for s in samples if s.pid > DISTRACTOR_PID), query=(), gallery=())


def split_by_identity(samples: Sequence[ReidSample], *, num_train_pids: int) -> Split:
    """Give the first identities, sorted, to training and the rest to the test; junk and distractors go to the gallery.

    Of each test identity and camera, the first crop by name is a query; all others are gallery.

    Raises:
        DatasetError: There are not more than `num_train_pids` identities.
    """
    pids = _labelled_pids(samples)
    if len(pids) <= num_train_pids:
        raise DatasetError(
            f"{len(pids)} identities; a split with {num_train_pids} for training leaves none for the test"
        )
    train_pids = set(pids[:num_train_pids])
    query: dict[tuple[int, int], ReidSample] = {}
    gallery: list[ReidSample] = []
    for sample in sorted((s for s in samples if s.pid not in train_pids), key=lambda s: s.path.name):
        view = sample.pid, sample.camid
        if sample.pid > DISTRACTOR_PID and view not in query:
            query[view] = sample
        else:
            gallery.append(sample)
    train = tuple(s for s in samples if s.pid in train_pids)
    return Split(train=train, query=tuple(query.values()), gallery=tuple(gallery))


READERS: dict[str, Callable[[Path], tuple[ReidSample, ...]]] = {"market1501": read_market1501}
SPLITS: dict[str, Callable[[Sequence[ReidSample]], Split]] = {
    "500-251": lambda samples: split_by_identity(samples, num_train_pids=500),
    "all": split_all,
}


def read_split(dataset: str, root: Path, split: str) -> Split:
    """Read a data set by name and split it by name.

    Raises:
        DatasetError: Either name is unknown, or the data set is incomplete.
    """
    if dataset not in READERS:
        raise DatasetError(f"unknown data set '{dataset}'; known: {', '.join(READERS)}")
    if split not in SPLITS:
        raise DatasetError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    return SPLITS[split](READERS[dataset](root))


def pids_of(samples: Sequence[ReidSample]) -> IntArray:
    """(N,) int64 identities."""
    return np.array([sample.pid for sample in samples], dtype=np.int64)


def camids_of(samples: Sequence[ReidSample]) -> IntArray:
    """(N,) int64 cameras."""
    return np.array([sample.camid for sample in samples], dtype=np.int64)


def class_labels(pids: IntArray) -> IntArray:
    """Number identities 0 … K-1 in sorted order, as a classifier wants them."""
    return np.unique(pids, return_inverse=True)[1].astype(np.int64)


def tracklets_of(samples: Sequence[ReidSample]) -> tuple[tuple[int, ...], ...]:
    """Rows of `samples` that form one tracklet each (same identity, camera and recording), in order of frames."""
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, sample in enumerate(samples):
        rows.setdefault((sample.pid, sample.camid, sample.sequence), []).append(row)
    return tuple(tuple(sorted(members, key=lambda row: samples[row].frame)) for members in rows.values())


def _labelled_pids(samples: Iterable[ReidSample]) -> list[int]:
    return sorted(pid for pid in Counter(sample.pid for sample in samples) if pid > DISTRACTOR_PID)
