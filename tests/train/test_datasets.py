from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.datasets import (
    Counts,
    ReidSample,
    check_counts,
    class_labels,
    parse_market_name,
    read_market_folder,
    read_split,
    split_all,
    split_by_identity,
    tracklets_of,
)
from train.errors import DatasetError


def sample(name: str) -> ReidSample:
    return parse_market_name(Path(name))


SAMPLES = tuple(
    sample(name)
    for name in (
        "-1_c1s1_000001_01.jpg",
        "0000_c2s1_000002_01.jpg",
        "0002_c1s1_000451_03.jpg",
        "0007_c1s1_000100_01.jpg",
        "0007_c1s1_000200_01.jpg",
        "0007_c2s3_000300_02.jpg",
    )
)


def test_market_names_are_read() -> None:
    assert sample("0002_c1s3_000451_03.jpg") == ReidSample(Path("0002_c1s3_000451_03.jpg"), 2, 1, 3, 451)
    assert sample("-1_c6s2_000001_00.jpg").pid == -1


def test_the_first_misnamed_file_is_named(tmp_path: Path) -> None:
    for name in ("0002_c1s1_000451_03.jpg", "holiday.jpg", "zebra.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"holiday\.jpg: name is not PPPP_cCsS_FFFFFF_BB\.jpg"):
        read_market_folder(tmp_path)


def test_other_files_beside_the_crops_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "0002_c1s1_000451_03.jpg").touch()
    (tmp_path / "Thumbs.db").touch()
    assert len(read_market_folder(tmp_path)) == 1


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        read_market_folder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"holds no \.jpg file"):
        read_market_folder(tmp_path)


def test_an_incomplete_copy_is_refused() -> None:
    with pytest.raises(DatasetError, match="6 crops of 2 identities, wanted 7 of 2"):
        check_counts(SAMPLES, Counts(num_crops=7, num_pids=2), name="tiny")


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


def test_tracklets_are_one_person_camera_and_sequence_in_order_of_frames() -> None:
    assert tracklets_of(SAMPLES[::-1]) == ((0,), (2, 1), (3,), (4,), (5,))


def test_class_labels_number_sorted_identities() -> None:
    np.testing.assert_array_equal(class_labels(np.array([7, 2, 7, 30])), [1, 0, 1, 2])


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unknown data set 'cifar'; known: market1501"):
        read_split("cifar", tmp_path, "all")
    with pytest.raises(DatasetError, match="unknown split 'half'; known: 500-251, all"):
        read_split("market1501", tmp_path, "half")


@pytest.mark.data
def test_market_500_251_has_its_published_sizes(data_root: Path) -> None:
    split = read_split("market1501", data_root / "market1501_train", "500-251")
    assert len(split.train) == 9173
    assert len(split.query) + len(split.gallery) == 3763
    assert len(split.gallery) == 2641
    views = {(s.pid, s.camid) for s in split.gallery}
    assert sum(any(p == q.pid and c != q.camid for p, c in views) for q in split.query) == 1115
