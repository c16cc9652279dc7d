from __future__ import annotations

from pathlib import Path

import pytest
from fakes_snapshot import START_US, write_site

from reid.errors import SnapshotError
from train.crop_cache import load_crops
from train.datasets.registry import read_split
from train.datasets.samples import UNLABELLED_PID
from train.datasets.snapshot import samples_of
from train.errors import DatasetError
from train.site import site_of_snapshot


def test_only_the_training_part_is_adapted_on(tmp_path: Path) -> None:
    write_site(tmp_path / "snap", num_pids=4, num_held_out=1)
    split = read_split("snapshot", tmp_path / "snap")
    assert {sample.sequence for sample in split.train} == set(range(6))
    assert (split.query, split.gallery) == ((), ())
    first = split.train[0]
    assert (first.pid, first.camid, first.frame) == (UNLABELLED_PID, 1, START_US // 1000)


def test_a_site_keeps_what_is_known_of_the_tracklets_of_its_part(tmp_path: Path) -> None:
    snapshot = write_site(
        tmp_path / "snap",
        num_pids=4,
        num_held_out=1,
        apart=[(0, 2), (6, 2), (6, 7)],
        together=[(0, 1), (3, 7)],
    )
    parts = (site_of_snapshot(load_crops(samples_of(snapshot, p), tmp_path), snapshot) for p in ("train", "held_out"))
    train, held_out = parts
    assert train.tracklets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (train.apart.tolist(), train.together.tolist()) == ([[0, 2]], [[0, 1]])
    assert held_out.camids.tolist() == [1, 1, 2, 2]
    assert (held_out.apart.tolist(), held_out.together.tolist()) == ([[0, 1]], [])
    assert train.pids is None


def test_a_snapshot_with_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    write_site(tmp_path / "snap", num_pids=2, num_held_out=2)
    with pytest.raises(DatasetError, match="no crop to train on"):
        read_split("snapshot", tmp_path / "snap")


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    write_site(tmp_path / "snap", num_pids=2)
    (tmp_path / "snap" / "crops.csv").write_text("path\n")
    with pytest.raises(SnapshotError):
        read_split("snapshot", tmp_path / "snap")
