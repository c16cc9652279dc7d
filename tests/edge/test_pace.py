from __future__ import annotations

import numpy as np
import pytest

from edge.frames import Frame
from edge.pace import Pace, PaceSettings

IMAGE = np.zeros((8, 8, 3), np.uint8)
FRAME_S = 0.04
"""25 Hz."""


def frame(index: int, arrived_s: float | None = None) -> Frame:
    return Frame(IMAGE, 0, index, arrived_s=index * FRAME_S if arrived_s is None else arrived_s)


def play(pace: Pace, indices: range, *, work_s: float, age_s: float | None = None) -> list[int]:
    """Offer frames as they arrive, each looked at one costing `work_s`; returns those looked at."""
    return [index for index in indices if _offer(pace, index, work_s, work_s if age_s is None else age_s)]


def _offer(pace: Pace, index: int, work_s: float, age_s: float) -> bool:
    if not pace.takes(frame(index)):
        return False
    pace.note(work_s=work_s, age_s=age_s, now_s=index * FRAME_S + work_s)
    return True


def test_every_frame_is_looked_at_while_there_is_time():
    pace = Pace()
    assert play(pace, range(100), work_s=0.03) == list(range(100))
    assert (pace.stride, pace.num_skipped) == (1, 0)


def test_one_slow_frame_changes_nothing():
    pace = Pace()
    play(pace, range(10), work_s=0.03)
    play(pace, range(10, 12), work_s=0.3)
    assert play(pace, range(12, 30), work_s=0.01) == list(range(12, 30))


@pytest.mark.parametrize(("work_s", "stride"), [(0.05, 2), (0.07, 2), (0.1, 3)])
def test_work_that_takes_longer_than_a_frame_leaves_out_as_many_as_needed(work_s, stride):
    pace = Pace(PaceSettings(max_gap_s=1.0))
    taken = play(pace, range(100), work_s=work_s)
    assert pace.stride == stride
    assert set(np.diff(taken[-20:])) == {stride}
    assert pace.num_skipped == 100 - len(taken) > 0


def test_the_gap_between_two_frames_is_bounded():
    pace = Pace(PaceSettings(max_gap_s=0.16))
    play(pace, range(100), work_s=1.0)
    assert pace.stride == 4


def test_a_slow_camera_is_never_asked_to_leave_out_frames():
    pace = Pace(PaceSettings(max_gap_s=0.2))
    for index in range(20):
        assert pace.takes(frame(index, arrived_s=index * 0.5))
        pace.note(work_s=0.9, age_s=1.0, now_s=index * 0.5 + 0.9)


def test_frames_that_are_old_in_the_end_count_as_late_too():
    pace = Pace(PaceSettings(max_age_s=0.3))
    play(pace, range(20), work_s=0.01, age_s=0.4)
    assert pace.stride > 1


def test_calm_brings_the_frames_back_one_step_at_a_time():
    pace = Pace(PaceSettings(max_gap_s=1.0, calm_s=2.0))
    play(pace, range(50), work_s=0.1)
    strides = []
    for index in range(50, 300):
        _offer(pace, index, 0.01, 0.01)
        strides.append(pace.stride)
    assert sorted(set(strides), reverse=True) == [3, 2, 1]
    assert strides == sorted(strides, reverse=True)
    assert 1.9 < strides.index(2) * FRAME_S < 2.5


def test_load_that_would_return_with_the_next_step_keeps_the_stride():
    pace = Pace(PaceSettings(calm_s=1.0))
    play(pace, range(50), work_s=0.06)
    play(pace, range(50, 500), work_s=0.05)
    assert pace.stride == 2


def test_frames_that_the_capture_dropped_count_as_left_out():
    pace = Pace()
    last = play(pace, range(20), work_s=0.06)[-1]
    arriving = list(range(last + 2, last + 20, 2))
    assert [index for index in arriving if pace.takes(frame(index))] == arriving


def test_a_camera_that_was_opened_again_is_looked_at_at_once():
    pace = Pace()
    play(pace, range(50), work_s=0.06)
    assert pace.takes(frame(0, arrived_s=90.0))


def test_a_gap_of_zero_switches_it_off():
    pace = Pace(PaceSettings(max_gap_s=0))
    assert play(pace, range(50), work_s=1.0) == list(range(50))
