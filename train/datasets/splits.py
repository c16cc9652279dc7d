"""Ways to split labelled samples into training and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.datasets.samples import DISTRACTOR_PID, ReidSample, Split, labelled_pids, require_labels
from train.errors import DatasetError


def split_all(samples: Sequence[ReidSample]) -> Split:
    """Train on every labelled identity; nothing is left to test on."""
    return Split(train=tuple(s for s in samples if s.pid > DISTRACTOR_PID), query=(), gallery=())


def split_by_identity(samples: Sequence[ReidSample], *, num_train_pids: int) -> Split:
    """Give the first identities, sorted, to training and the rest to the test; junk and distractors go to the gallery.

    Of each test identity and camera, the first crop by name is a query; all others are gallery.

    Raises:
        DatasetError: There are not more than `num_train_pids` identities, or a sample is unlabelled.
    """
    require_labels(samples)
    pids = labelled_pids(samples)
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


def split_two_cameras(samples: Sequence[ReidSample], *, num_train_pids: int, seed: int) -> Split:
    """Draw the training identities by a seed; of the others, camera 1 asks and camera 2 is searched.

    Args:
        samples: Labelled, all of camera 1 or 2.
        num_train_pids: How many identities train.
        seed: Of the draw (numpy's PCG64); the same seed gives the same split anywhere.
    """
    drawn = np.random.default_rng(seed).permutation(labelled_pids(samples))[:num_train_pids]
    train_pids = set(drawn.tolist())
    rest = [s for s in samples if s.pid not in train_pids]
    return Split(
        train=tuple(s for s in samples if s.pid in train_pids),
        query=tuple(s for s in rest if s.camid == 1),
        gallery=tuple(s for s in rest if s.camid == 2),
    )
