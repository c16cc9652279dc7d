from __future__ import annotations

import pytest

from server.matching.passages import Passage
from server.site_map import MapView, Place, Plan
from server.storage.sightings import CameraActivity
from server.types import Camera
from server.web.site_plan import draw_map, labels_of, usual_time

ONE, TWO, FAR = Camera("edge1", "cam1"), Camera("edge1", "cam2"), Camera("edge2", "cam1")
PLAN = Plan(file="plan-0123456789abcdef.jpg", width_px=200, height_px=100)


def view(plan: Plan | None, **places: tuple[float, float]) -> MapView:
    cameras = {"one": ONE, "two": TWO, "far": FAR}
    named = {cameras[name]: at for name, at in places.items()}
    return MapView(
        plan, {camera: Place(edge_id=camera.edge_id, camid=camera.camid, x=x, y=y) for camera, (x, y) in named.items()}
    )


def way(from_camera: int, to_camera: int, *, times: int = 4, share: float = 0.5) -> Passage:
    return Passage(
        from_camera=from_camera,
        to_camera=to_camera,
        num_passages=times,
        num_persons=2,
        share=share,
        quartiles_s=(10.0, 34.0, 50.0),
    )


def test_cameras_lie_on_the_plan_as_they_were_placed_with_the_people_in_view() -> None:
    seen = [CameraActivity(camera=ONE, num_in_view=3)]
    picture = draw_map(view(PLAN, one=(0.25, 0.5), two=(1, 1)), seen, (), {})
    assert (picture.height, picture.plan_file) == (500, PLAN.file)
    assert [(each.label, each.x, each.y, each.num_in_view) for each in picture.markers] == [
        ("cam1", 250, 250, 3),
        ("cam2", 1000, 500, 0),
    ]


def test_a_camid_that_two_edges_use_is_shown_with_its_edge() -> None:
    assert labels_of([ONE, TWO, FAR]) == {ONE: "edge1/cam1", TWO: "cam2", FAR: "edge2/cam1"}


def test_ways_are_arrows_wider_where_more_go_and_there_is_not_back() -> None:
    ways = [way(1, 2, times=16), way(2, 1, times=4)]
    there, back = draw_map(view(None, one=(0.1, 0.5), two=(0.9, 0.5)), (), ways, {1: ONE, 2: TWO}).arrows
    assert (there.width, back.width) == (8.0, 4.8)
    assert there.label_y > 280 > back.label_y
    assert there.title == "cam1 to cam2: 16 times, usually 34 s"


@pytest.mark.parametrize(
    "ways", [[way(1, 3)], [way(1, 2, share=0.05)], [way(1, 4)]], ids=["no place", "rare", "same place"]
)
def test_ways_that_would_only_clutter_are_left_to_the_table(ways: list[Passage]) -> None:
    places = view(None, one=(0.1, 0.5), two=(0.9, 0.5))
    beside = Camera("edge1", "cam4")
    shifted = MapView(None, {**places.places, beside: Place(edge_id="edge1", camid="cam4", x=0.11, y=0.5)})
    assert draw_map(shifted, (), ways, {1: ONE, 2: TWO, 3: FAR, 4: beside}).arrows == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (34, "34 s"), (310, "5 min 10 s"), (300, "5 min"), (1234, "20 min"), (4800, "1 h 20 min")],
)
def test_times_are_said_in_one_or_two_numbers(seconds: float, text: str) -> None:
    assert usual_time(seconds) == text
