from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_gate import CROPS_PER_TRACKLET, NUM_CAMERAS, NUM_PEOPLE, write_coloured_snapshot

from reid.errors import ImageError
from reid.snapshot import SnapshotCrop
from server.gate.held_out import draw_evenly, read_held_out
from server.gate.settings import GateSettings


def tracklet(number: int, camid: int, num_crops: int = 3) -> list[SnapshotCrop]:
    return [SnapshotCrop(f"crops/{number}-{n}.jpg", camid, number, n, 1.0, "held_out") for n in range(num_crops)]


def test_only_the_held_out_part_is_read(tmp_path: Path) -> None:
    held_out = read_held_out(write_coloured_snapshot(tmp_path / "s"), GateSettings())
    assert held_out.crops.shape == (NUM_CAMERAS * NUM_PEOPLE * CROPS_PER_TRACKLET, 256, 128, 3)
    assert np.bincount(held_out.tracklets.camids_T).tolist() == [0, NUM_PEOPLE, NUM_PEOPLE]


def test_of_a_long_tracklet_both_ends_are_kept(tmp_path: Path) -> None:
    settings = GateSettings(max_crops_per_tracklet=2)
    held_out = read_held_out(write_coloured_snapshot(tmp_path / "s"), settings)
    assert {len(rows) for rows in held_out.tracklets.members} == {2}


def test_tracklets_are_drawn_evenly_over_the_cameras() -> None:
    tracklets = [tracklet(number, 1) for number in range(50)] + [tracklet(number, 2) for number in range(50, 54)]
    chosen = draw_evenly(tracklets, 30, seed=0)
    assert sorted(crops[0].camid for crops in chosen) == [1] * 6 + [2] * 4


def test_the_same_seed_draws_the_same_tracklets() -> None:
    tracklets = [tracklet(number, 1) for number in range(50)]
    first, again, other = (draw_evenly(tracklets, 30, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_crop_that_is_no_picture_is_named(tmp_path: Path) -> None:
    snapshot = write_coloured_snapshot(tmp_path / "s")
    broken = snapshot.of_part("held_out")[0].path
    (snapshot.folder / broken).write_bytes(b"no picture")
    with pytest.raises(ImageError, match=Path(broken).name):
        read_held_out(snapshot, GateSettings())
