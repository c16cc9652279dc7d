from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.types import IntArray
from train.errors import DatasetError
from train.sampler import balanced_batches, pk_batches, shuffled_batches

NUM_IDS, NUM_CROPS = 4, 3


def crops_of(sizes: list[int]) -> tuple[IntArray, IntArray]:
    """Labels 0, 1, … with so many crops each, dealt to three cameras in turn."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return labels.astype(np.int64), np.arange(len(labels), dtype=np.int64) % 3


def plan(sizes: list[int], seed: int = 1) -> tuple[list[IntArray], IntArray, IntArray]:
    labels, camids = crops_of(sizes)
    rng = np.random.default_rng(seed)
    return pk_batches(labels, camids, num_ids=NUM_IDS, num_crops=NUM_CROPS, rng=rng), labels, camids


@given(st.lists(st.integers(1, 20), min_size=NUM_IDS, max_size=12), st.integers(0, 99))
def test_batches_hold_p_identities_of_k_crops(sizes: list[int], seed: int) -> None:
    batches, labels, _ = plan(sizes, seed)
    assert batches
    for rows in batches:
        grouped = labels[rows].reshape(NUM_IDS, NUM_CROPS)
        assert (grouped == grouped[:, :1]).all()
        assert len(np.unique(grouped[:, 0])) == NUM_IDS


@given(st.lists(st.integers(1, 20), min_size=NUM_IDS, max_size=12))
def test_a_crop_repeats_only_in_identities_that_do_not_fill_their_groups(sizes: list[int]) -> None:
    batches, labels, _ = plan(sizes)
    counts = np.bincount(np.concatenate(batches), minlength=len(labels))
    for label, size in enumerate(sizes):
        if size % NUM_CROPS == 0:
            assert counts[labels == label].max() <= 1


def test_every_crop_is_dealt_when_identities_are_of_one_size() -> None:
    batches, labels, _ = plan([6] * 8)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(labels)))


def test_crops_of_a_group_come_from_different_cameras() -> None:
    batches, _, camids = plan([6] * 8)
    for rows in batches:
        assert all(len(set(group)) == NUM_CROPS for group in camids[rows].reshape(NUM_IDS, NUM_CROPS).tolist())


def test_an_identity_of_one_crop_repeats_it() -> None:
    batches, labels, _ = plan([1] * NUM_IDS)
    assert sorted(labels[batches[0]].tolist()) == sorted([0, 1, 2, 3] * NUM_CROPS)


def test_same_seed_same_batches() -> None:
    first, _, _ = plan([5, 7, 9, 2, 4], seed=3)
    again, _, _ = plan([5, 7, 9, 2, 4], seed=3)
    other, _, _ = plan([5, 7, 9, 2, 4], seed=4)
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
    assert not np.array_equal(first[0], other[0])


def test_outliers_are_left_out() -> None:
    labels, camids = crops_of([3] * NUM_IDS)
    labels[:3] = -1
    with pytest.raises(DatasetError, match="3 identities cannot fill a batch of 4"):
        pk_batches(labels, camids, num_ids=NUM_IDS, num_crops=NUM_CROPS, rng=np.random.default_rng(1))


def test_balanced_batches_show_every_identity_equally_often() -> None:
    labels = np.repeat(np.arange(10), np.arange(1, 11))
    camids = np.arange(len(labels)) % 3
    batches = balanced_batches(labels, camids, num_batches=15, num_ids=4, num_crops=3, rng=np.random.default_rng(1))
    seen = np.bincount(np.concatenate([np.unique(labels[rows]) for rows in batches]))
    assert all(len(rows) == 12 and len(np.unique(labels[rows])) == 4 for rows in batches)
    assert seen.tolist() == [6] * 10


def test_balanced_batches_take_crops_of_as_many_cameras_as_there_are() -> None:
    labels, camids = np.repeat([0, 1], 8), np.tile([1, 1, 1, 1, 1, 2, 3, 3], 2)
    for rows in balanced_batches(labels, camids, num_batches=5, num_ids=2, num_crops=3, rng=np.random.default_rng(1)):
        assert all(len(set(camids[group])) == 3 for group in np.split(rows, 2))


def test_balanced_batches_need_enough_identities() -> None:
    with pytest.raises(DatasetError, match="1 identities cannot fill a batch of 2"):
        balanced_batches(
            np.array([0, -1]),
            np.zeros(2, np.int64),
            num_batches=1,
            num_ids=2,
            num_crops=1,
            rng=np.random.default_rng(1),
        )


def test_shuffled_batches_show_every_row_equally_often_up_to_one_time() -> None:
    batches = shuffled_batches(5, num_batches=4, size=3, rng=np.random.default_rng(1))
    assert [len(rows) for rows in batches] == [3] * 4
    assert sorted(np.concatenate(batches)[:5].tolist()) == list(range(5))
    assert set(np.bincount(np.concatenate(batches)).tolist()) <= {2, 3}
