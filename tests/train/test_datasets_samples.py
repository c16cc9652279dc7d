from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.datasets.counts import Counts, SplitCounts, check_counts, check_split
from train.datasets.market1501 import parse_market_name
from train.datasets.samples import (
    UNLABELLED_PID,
    ReidSample,
    Split,
    are_labelled,
    class_labels,
    labelled_pids,
    require_labels,
    tracklets_of,
)
from train.datasets.splits import split_all, split_by_identity, split_two_cameras
from train.errors import DatasetError

SAMPLES = tuple(
    parse_market_name(Path(name))
    for name in (
        "-1_c1s1_000001_01.jpg",
        "0000_c2s1_000002_01.jpg",
        "0002_c1s1_000451_03.jpg",
        "0007_c1s1_000100_01.jpg",
        "0007_c1s1_000200_01.jpg",
        "0007_c2s3_000300_02.jpg",
    )
)
NOBODY = ReidSample(Path("cam/a.jpg"), UNLABELLED_PID, 1, 1, 0)


def test_an_incomplete_copy_is_refused() -> None:
    with pytest.raises(DatasetError, match="6 crops of 2 identities, wanted 7 of 2"):
        check_counts(SAMPLES, Counts(num_crops=7, num_pids=2), name="tiny")


def test_the_part_of_a_split_that_is_incomplete_is_named() -> None:
    with pytest.raises(DatasetError, match="tiny, gallery: 0 crops of 0 identities, wanted 1 of 1"):
        check_split(Split(SAMPLES, (), ()), SplitCounts(Counts(6, 2), Counts(0, 0), Counts(1, 1)), name="tiny")


def test_split_keeps_identities_apart() -> None:
    split = split_by_identity(SAMPLES, num_train_pids=1)
    assert [s.pid for s in split.train] == [2]
    assert [s.path.name for s in split.query] == ["0007_c1s1_000100_01.jpg", "0007_c2s3_000300_02.jpg"]
    assert [s.pid for s in split.gallery] == [-1, 0, 7]


def test_split_must_leave_identities_for_the_test() -> None:
    with pytest.raises(DatasetError, match="2 identities; a split with 2 for training leaves none"):
        split_by_identity(SAMPLES, num_train_pids=2)


def test_training_on_all_leaves_out_junk_and_distractors() -> None:
    assert {s.pid for s in split_all(SAMPLES).train} == {2, 7}


def test_two_camera_split_follows_its_seed_and_asks_with_the_first_camera() -> None:
    samples = [ReidSample(Path(f"{pid}_{camid}"), pid, camid, 0, 0) for pid in range(1, 21) for camid in (1, 2)]
    first, again, other = (split_two_cameras(samples, num_train_pids=10, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert (len(first.train), len(first.query), len(first.gallery)) == (20, 10, 10)
    assert {s.camid for s in first.query} == {1}
    assert (
        {s.pid for s in first.query}
        == {s.pid for s in first.gallery}
        == set(range(1, 21)) - set(labelled_pids(first.train))
    )


def test_tracklets_are_one_person_camera_and_sequence_in_order_of_frames() -> None:
    assert tracklets_of(SAMPLES[::-1]) == ((0,), (2, 1), (3,), (4,), (5,))


def test_class_labels_number_sorted_identities() -> None:
    np.testing.assert_array_equal(class_labels(np.array([7, 2, 7, 30])), [1, 0, 1, 2])


def test_unlabelled_samples_are_refused_by_name_where_identities_count() -> None:
    assert are_labelled(SAMPLES)
    assert not are_labelled((*SAMPLES, NOBODY))
    for use in (require_labels, lambda samples: split_by_identity(samples, num_train_pids=0)):
        with pytest.raises(DatasetError, match=r"cam/a\.jpg has no identity"):
            use((*SAMPLES, NOBODY))
