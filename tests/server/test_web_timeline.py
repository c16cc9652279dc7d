from __future__ import annotations

import pytest

from server.types import Camera, TrackletSummary
from server.web.timeline import WIDTH_PX, draw_timeline

S = 1_000_000
NOON_US = 1_767_268_800 * S  # 2026-01-01 12:00:00 UTC


def seen(camid: str, start_s: float, end_s: float, *, edge_id: str = "edge1") -> TrackletSummary:
    return TrackletSummary(
        camera=Camera(edge_id, camid),
        tracklet_id=1,
        person_id=1,
        start_us=NOON_US + int(start_s * S),
        end_us=NOON_US + int(end_s * S),
        num_observations=3,
    )


def test_each_camera_is_a_lane_and_time_runs_to_the_right() -> None:
    line = draw_timeline([seen("b", 0, 10), seen("a", 30, 40)])
    assert line is not None
    assert [lane.text for lane in line.lanes] == ["a", "b"]
    first, second = line.bars
    assert first.x == line.left
    assert second.x + second.width == pytest.approx(line.right, abs=0.2)
    assert second.y < first.y < line.axis_y
    assert "b, 2026-01-01 12:00:00 UTC, 0:00:10, 3 views" in first.text


def test_a_short_tracklet_in_a_long_time_is_still_seen() -> None:
    line = draw_timeline([seen("a", 0, 1), seen("a", 86_400 * 30, 86_400 * 30 + 1)])
    assert line is not None
    assert min(bar.width for bar in line.bars) >= 4
    assert max(bar.x + bar.width for bar in line.bars) <= WIDTH_PX


@pytest.mark.parametrize(
    ("lasted_s", "first", "num"),
    [(30, "12:00:00", 7), (3000, "12:00", 7), (40_000, "12:00", 7), (86_400 * 3, "12:00", 7), (86_400 * 400, "", 7)],
)
def test_ticks_are_round_and_few(lasted_s: int, first: str, num: int) -> None:
    line = draw_timeline([seen("a", 0, lasted_s)])
    assert line is not None
    assert 2 <= len(line.ticks) <= num
    assert line.ticks[0].text.startswith(first)
    assert all(line.left <= tick.x <= line.right for tick in line.ticks)


def test_cameras_of_one_name_are_told_apart_by_their_edges() -> None:
    line = draw_timeline([seen("a", 0, 1), seen("a", 0, 1, edge_id="edge2")])
    assert line is not None
    assert [lane.text for lane in line.lanes] == ["edge1/a", "edge2/a"]


def test_a_moment_is_drawn_too() -> None:
    assert draw_timeline([seen("a", 5, 5)]) is not None
    assert draw_timeline([]) is None
