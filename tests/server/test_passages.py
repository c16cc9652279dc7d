from __future__ import annotations

import pytest

from server.matching.passages import find_passages
from server.types import Stay

SECOND_US = 1_000_000


def stay(person_id: int, camera_key: int, start_s: float, *, for_s: float = 10) -> Stay:
    return Stay(person_id, camera_key, int(start_s * SECOND_US), int((start_s + for_s) * SECOND_US))


def test_ways_are_counted_from_when_one_camera_saw_somebody_last_to_when_the_other_saw_them_first() -> None:
    stays = [stay(1, 1, 0), stay(1, 2, 40), stay(2, 1, 100), stay(2, 2, 120), stay(2, 1, 190), stay(2, 2, 220)]
    there, back = find_passages(stays[::-1], most_gap_s=100)
    assert (there.from_camera, there.to_camera, there.num_passages, there.num_persons) == (1, 2, 3, 2)
    assert there.quartiles_s == pytest.approx((15, 20, 25))
    assert (back.from_camera, back.to_camera, back.num_passages, back.quartiles_s) == (2, 1, 1, (60, 60, 60))


def test_shares_are_of_all_who_leave_a_camera() -> None:
    stays = [stay(person, 1, 0) for person in range(1, 5)]
    stays += [stay(person, 2 if person > 1 else 3, 20) for person in range(1, 5)]
    assert [(way.to_camera, way.share) for way in find_passages(stays, most_gap_s=60)] == [(2, 0.75), (3, 0.25)]


def test_whoever_stays_away_too_long_or_in_one_camera_passes_nowhere() -> None:
    assert find_passages([stay(1, 1, 0), stay(1, 2, 200), stay(2, 1, 0), stay(2, 1, 20)], most_gap_s=100) == []
    assert find_passages([], most_gap_s=100) == []


def test_overlapping_views_take_no_time() -> None:
    (way,) = find_passages([stay(1, 1, 0), stay(1, 2, 5)], most_gap_s=100)
    assert way.quartiles_s == (0, 0, 0)
