from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.errors import ImageError
from reid.preprocess import read_image
from server.errors import ConflictError, NotFoundError, StorageError
from server.site_map import MapView, Place, SiteMap
from server.types import Camera


@pytest.fixture
def site_map(tmp_path: Path) -> SiteMap:
    return SiteMap(tmp_path / "site_map")


def plan(shade: int = 200, *, width_px: int = 60, height_px: int = 40, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full((height_px, width_px, 3), shade, dtype=np.uint8))[1].tobytes()


def at(camid: str, x: float, y: float) -> Place:
    return Place(edge_id="edge1", camid=camid, x=x, y=y)


def test_a_new_site_has_an_empty_map(site_map: SiteMap) -> None:
    assert site_map.view() == MapView()


def test_places_are_kept_changed_and_taken_away(site_map: SiteMap, tmp_path: Path) -> None:
    site_map.arrange([at("cam1", 0.25, 0.5), at("cam2", 1, 0)])
    site_map.arrange([at("cam1", 0.75, 0.5)], [Camera("edge1", "cam2"), Camera("edge9", "cam9")])
    assert SiteMap(tmp_path / "site_map").view().places == {Camera("edge1", "cam1"): at("cam1", 0.75, 0.5)}


def test_another_plan_takes_the_place_of_the_one_before_and_cameras_stay(site_map: SiteMap, tmp_path: Path) -> None:
    site_map.arrange([at("cam1", 0.25, 0.5)])
    old, new = site_map.set_plan(plan()), site_map.set_plan(plan(90, suffix=".jpg"))
    assert (new.width_px, new.height_px) == (60, 40)
    assert read_image(site_map.plan_path(new.file))[20, 30, 0] == pytest.approx(90, abs=2)
    assert [path.name for path in (tmp_path / "site_map").glob("plan-*")] == [new.file]
    with pytest.raises(NotFoundError, match="load the page of the map again"):
        site_map.plan_path(old.file)
    assert list(site_map.view().places) == [Camera("edge1", "cam1")]


def test_a_removed_plan_leaves_no_file(site_map: SiteMap, tmp_path: Path) -> None:
    site_map.set_plan(plan())
    site_map.remove_plan()
    assert site_map.view().plan is None
    assert list((tmp_path / "site_map").glob("plan-*")) == []


def test_a_large_plan_is_scaled_down(site_map: SiteMap) -> None:
    taken = site_map.set_plan(plan(width_px=4800, height_px=600))
    assert (taken.width_px, taken.height_px) == (2400, 300)


def test_what_is_no_picture_is_refused_and_the_old_plan_stays(site_map: SiteMap) -> None:
    kept = site_map.set_plan(plan())
    with pytest.raises(ImageError, match="the floor plan is no readable picture"):
        site_map.set_plan(b"<svg onload='alert(1)'/>")
    assert site_map.view().plan == kept


def test_no_other_file_is_given_out(site_map: SiteMap) -> None:
    site_map.set_plan(plan())
    with pytest.raises(NotFoundError):
        site_map.plan_path("../records.db")


def test_the_map_is_bounded(site_map: SiteMap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.site_map._MOST_PLACES", 2)
    with pytest.raises(ConflictError, match="the map holds 2 cameras, came 3"):
        site_map.arrange([at(f"cam{number}", 0, 0) for number in range(3)])
    assert site_map.view().places == {}


@pytest.mark.parametrize("content", [b"{", b'{"places": [{"edge_id": "e", "camid": "c", "x": 7, "y": 0}]}'])
def test_a_damaged_map_is_named(site_map: SiteMap, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site_map").mkdir()
    (tmp_path / "site_map" / "map.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"map\.json is damaged .*: remove it"):
        site_map.view()
