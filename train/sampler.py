"""P x K batches: P identities, K crops of each, as losses that compare crops need.

Rules: every crop of every identity is dealt once an epoch, save the tail (below); the K crops of a group come from as
many cameras as the identity was seen by; an identity with too few crops repeats some; no identity is twice in a batch.
The epoch ends when fewer than P identities have groups left; drawing identities in proportion to the groups they have
left keeps that tail short.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid.types import IntArray
from train.errors import DatasetError


def pk_batches(
    labels_N: IntArray, camids_N: IntArray, *, num_ids: int, num_crops: int, rng: np.random.Generator
) -> list[IntArray]:
    """Plan the batches of one epoch.

    Args:
        labels_N: (N,) int64 identities or pseudo labels; rows with a negative label are left out.
        camids_N: (N,) int64 cameras.
        num_ids: P, identities in a batch.
        num_crops: K, crops of each.
        rng: Source of all randomness.

    Returns:
        Rows of each batch, int64 (P * K,), the K crops of an identity side by side.

    Raises:
        DatasetError: There are fewer than P identities.
    """
    groups = {
        int(label): _groups_of(np.flatnonzero(labels_N == label), camids_N, num_crops, rng)
        for label in np.unique(labels_N[labels_N >= 0])
    }
    _check_enough(len(groups), num_ids)
    names = list(groups)
    num_left = np.array([len(groups[name]) for name in names])
    batches: list[IntArray] = []
    while np.count_nonzero(num_left) >= num_ids:
        chosen = rng.choice(len(names), size=num_ids, replace=False, p=num_left / num_left.sum())
        num_left[chosen] -= 1
        batches.append(np.concatenate([groups[names[row]].pop() for row in chosen]))
    return batches


def balanced_batches(
    labels_N: IntArray,
    camids_N: IntArray,
    *,
    num_batches: int,
    num_ids: int,
    num_crops: int,
    rng: np.random.Generator,
) -> list[IntArray]:
    """Plan a number of batches in which every identity appears equally often, however many crops it has.

    Identities are dealt in shuffled rounds, so that none is twice in a batch. Of each, the K crops come from as many
    cameras as it was seen by; an identity with too few crops repeats some.

    Args:
        labels_N: (N,) int64 identities or pseudo labels; rows with a negative label are left out.
        camids_N: (N,) int64 cameras.
        num_batches: How many.
        num_ids: P, identities in a batch.
        num_crops: K, crops of each.
        rng: Source of all randomness.

    Returns:
        Rows of each batch, int64 (P * K,), the K crops of an identity side by side.

    Raises:
        DatasetError: There are fewer than P identities.
    """
    rows_of = {int(label): np.flatnonzero(labels_N == label) for label in np.unique(labels_N[labels_N >= 0])}
    _check_enough(len(rows_of), num_ids)
    names = np.array(list(rows_of))
    batches: list[IntArray] = []
    queue = names[:0]
    for _ in range(num_batches):
        if len(queue) < num_ids:
            fresh = rng.permutation(names[~np.isin(names, queue)])
            queue = np.concatenate([queue, fresh, rng.permutation(queue)])
        chosen, queue = queue[:num_ids], queue[num_ids:]
        batches.append(np.concatenate([_draw(rows_of[int(name)], camids_N, num_crops, rng) for name in chosen]))
    return batches


def shuffled_batches(num_rows: int, *, num_batches: int, size: int, rng: np.random.Generator) -> list[IntArray]:
    """Plan a number of batches in which every row appears equally often, up to one time.

    Args:
        num_rows: Rows to draw from.
        num_batches: How many.
        size: Rows in a batch; a row is in it twice only where a shuffled round of all rows ends within.
        rng: Source of all randomness.

    Returns:
        Rows of each batch, int64 (size,).
    """
    wanted = num_batches * size
    rounds = [rng.permutation(num_rows) for _ in range(-(-wanted // num_rows))]
    return np.split(np.concatenate(rounds)[:wanted], num_batches)


def _draw(rows: IntArray, camids_N: IntArray, num_crops: int, rng: np.random.Generator) -> IntArray:
    """K rows of one identity, from as many cameras as there are, repeated only when there are fewer than K."""
    dealt = rows[_camera_round_robin(camids_N[rows], rng)][:num_crops]
    missing = num_crops - len(dealt)
    return dealt if missing == 0 else np.concatenate([dealt, rng.choice(rows, size=missing)])


def _check_enough(num_labels: int, num_ids: int) -> None:
    if num_labels < num_ids:
        raise DatasetError(f"{num_labels} identities cannot fill a batch of {num_ids}: lower num_ids or add identities")


def _groups_of(rows: IntArray, camids_N: IntArray, num_crops: int, rng: np.random.Generator) -> list[IntArray]:
    """Deal one identity's rows into groups of K, in random order."""
    dealt = rows[_camera_round_robin(camids_N[rows], rng)]
    missing = -len(dealt) % num_crops
    # A last group of less than half of K would be mostly repeats; the identity's other groups do without it.
    if missing > num_crops // 2 and len(dealt) > num_crops:
        dealt, missing = dealt[: len(dealt) - (num_crops - missing)], 0
    padded = np.concatenate([dealt, rng.choice(rows, size=missing, replace=missing > len(rows))])
    groups: Sequence[IntArray] = np.split(padded, len(padded) // num_crops)
    return [groups[place] for place in rng.permutation(len(groups))]


def _camera_round_robin(camids: IntArray, rng: np.random.Generator) -> IntArray:
    """Order rows so that neighbours come from different cameras while there are several left.

    Sorting by each crop's random place among its camera's crops, then by a random order of cameras, deals one crop of
    each camera per round.
    """
    shuffled = rng.permutation(len(camids))
    cameras, camera_of = np.unique(camids[shuffled], return_inverse=True)
    by_camera = np.argsort(camera_of, kind="stable")
    starts = np.searchsorted(camera_of[by_camera], np.arange(len(cameras)))
    round_of = np.empty(len(camids), dtype=np.int64)
    round_of[by_camera] = np.arange(len(camids)) - starts[camera_of[by_camera]]
    place_of_camera = rng.permutation(len(cameras))
    ordered: IntArray = shuffled[np.lexsort((place_of_camera[camera_of], round_of))]
    return ordered
