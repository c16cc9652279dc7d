"""How well identities were recovered: pairwise scores across cameras, and IDF1.

`pid` is the truth, `person_id` what the system said. -1 means none: a ghost has no pid, and a person whom the system
did not find has no person_id. Needs scipy, so `edge` does not import this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from reid.types import BoolArray, IntArray

NOBODY = -1
"""No pid, or no person_id."""


@dataclass(frozen=True)
class PairScores:
    """Decisions about pairs of tracklets from different cameras.

    Attributes:
        num_true: Pairs that are one person.
        num_claimed: Pairs that were said to be one person.
        num_right: Pairs that are both.
    """

    num_true: int
    num_claimed: int
    num_right: int

    @property
    def precision(self) -> float:
        """Share of the claimed pairs that are right; 1 when nothing was claimed."""
        return self.num_right / self.num_claimed if self.num_claimed else 1.0

    @property
    def recall(self) -> float:
        """Share of the true pairs that were claimed; 1 when there is none."""
        return self.num_right / self.num_true if self.num_true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.num_true + self.num_claimed
        return 2 * self.num_right / total if total else 1.0


def cross_camera_pairs(pids_N: IntArray, person_ids_N: IntArray, cameras_N: IntArray) -> PairScores:
    """Compare every two tracklets of different cameras.

    Args:
        pids_N: int64, true identity of each tracklet; -1 for a ghost, which is the same person as nobody.
        person_ids_N: int64, identity that the system gave it; -1 for none.
        cameras_N: int64, number of its camera.

    Raises:
        ValueError: The three differ in length.
    """
    _check_lengths(pids_N, person_ids_N, cameras_N)
    across = np.triu(cameras_N[:, None] != cameras_N[None, :])
    is_true, is_claimed = _same(pids_N) & across, _same(person_ids_N) & across
    return PairScores(int(is_true.sum()), int(is_claimed.sum()), int((is_true & is_claimed).sum()))


def idf1(pids_N: IntArray, person_ids_N: IntArray) -> float:
    """F1 of boxes under the best one-to-one pairing of pids with person_ids.

    Args:
        pids_N: int64, true identity of each box; -1 for a box around nobody.
        person_ids_N: int64, identity that the system gave it; -1 for a person who was not found.

    Returns:
        In [0, 1]; 1 when there is nothing to find and nothing was found.

    Raises:
        ValueError: The two differ in length.

    Paper: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 1609.01775.
    Deviation: boxes are matched before the call, so a pair counts only where both sides share a box.
    """
    _check_lengths(pids_N, person_ids_N)
    is_person, is_found = pids_N != NOBODY, person_ids_N != NOBODY
    total = int(is_person.sum()) + int(is_found.sum())
    if total == 0:
        return 1.0
    both = is_person & is_found
    _, true_rows = np.unique(pids_N[both], return_inverse=True)
    _, found_columns = np.unique(person_ids_N[both], return_inverse=True)
    if not len(true_rows):
        return 0.0
    shared = np.zeros((true_rows.max() + 1, found_columns.max() + 1), dtype=np.int64)
    np.add.at(shared, (true_rows, found_columns), 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return 2 * int(shared[rows, columns].sum()) / total


def majority(pids_N: IntArray) -> int:
    """The pid that most boxes of a tracklet carry, the smallest of equals; -1 if most show nobody or there is none."""
    if not len(pids_N):
        return NOBODY
    values, counts = np.unique(pids_N, return_counts=True)
    return int(values[np.argmax(counts)])


def _same(labels_N: IntArray) -> BoolArray:
    return np.asarray((labels_N[:, None] == labels_N[None, :]) & (labels_N != NOBODY)[:, None], dtype=np.bool_)


def _check_lengths(*arrays: IntArray) -> None:
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"labels of different lengths {lengths}: give one entry for each tracklet or box")
