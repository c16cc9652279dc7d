from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from reid.types import UInt8Array
from server.sheet import SheetRow, collect_rows, draw_sheet
from server.types import Camera, TrackletSummary


def tracklet(person_id: int, camid: str, tracklet_id: int, *, views: int = 3) -> TrackletSummary:
    return TrackletSummary(
        camera=Camera("edge1", camid),
        tracklet_id=tracklet_id,
        person_id=person_id,
        start_us=0,
        end_us=1,
        num_observations=views,
    )


def write_crop(folder: Path, camid: str, tracklet_id: int, *, grey: int = 90) -> None:
    (folder / camid).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / camid / f"{tracklet_id}.jpg"), np.full((60, 30, 3), grey, dtype=np.uint8))


def test_persons_of_most_cameras_come_first_then_of_most_views(tmp_path: Path) -> None:
    found = [tracklet(1, "a", 1), tracklet(2, "a", 2, views=9), tracklet(3, "a", 3), tracklet(3, "b", 4)]
    for item in found:
        write_crop(tmp_path, item.camera.camid, item.tracklet_id)
    rows = collect_rows(found, [tmp_path], max_rows=9)
    assert [row.person_id for row in rows] == [3, 2, 1]
    assert (rows[0].num_tracklets, rows[0].num_observations, set(rows[0].crops)) == (2, 6, {"a", "b"})
    assert len(collect_rows(found, [tmp_path], max_rows=2)) == 2


def test_the_longest_tracklet_with_a_readable_crop_stands_for_its_camera(tmp_path: Path) -> None:
    write_crop(tmp_path / "x", "a", 1, grey=10)
    write_crop(tmp_path / "y", "a", 2, grey=200)
    (tmp_path / "x" / "a" / "3.jpg").write_bytes(b"half written")
    found = [tracklet(1, "a", 1, views=2), tracklet(1, "a", 2, views=5), tracklet(1, "a", 3, views=9)]
    (row,) = collect_rows(found, [tmp_path / "x", tmp_path / "y"], max_rows=9)
    assert row.crops["a"].mean() > 150


def test_persons_without_any_crop_are_left_out(tmp_path: Path) -> None:
    assert collect_rows([tracklet(1, "a", 1)], [tmp_path], max_rows=9) == []


def crop(height: int, width: int) -> UInt8Array:
    return np.full((height, width, 3), 7, dtype=np.uint8)


def test_every_crop_is_drawn_whole_in_its_own_cell() -> None:
    rows = [
        SheetRow(person_id=1, num_tracklets=1, num_observations=3, crops={"a": crop(60, 30), "b": crop(10, 500)}),
        SheetRow(person_id=2, num_tracklets=1, num_observations=3, crops={"b": crop(999, 2)}),
    ]
    sheet = draw_sheet(rows)
    assert sheet.shape[1] < sheet.shape[0] + 200
    dark = (sheet == 7).all(axis=2)
    assert cv2.connectedComponents(dark.astype(np.uint8))[0] - 1 == 3
