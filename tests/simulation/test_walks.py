import itertools
import math

import numpy as np
import pytest

from simulation.looks import Gait
from simulation.walks import NEAREST_AHEAD_M, Walk

GAIT = Gait(speed_m_s=1.3, step_m=0.7, swing=0.35, arm_swing=0.3, lean=0.0)


def walk(seed: int, *, num_zones: int = 3, duration_s: float = 120.0) -> Walk:
    return Walk(np.random.default_rng(seed), GAIT, half_views=(0.6,) * num_zones, duration_s=duration_s)


@pytest.mark.parametrize("seed", range(5))
def test_crossings_follow_one_another_with_time_to_get_there(seed):
    crossings = walk(seed).crossings
    for before, after in itertools.pairwise(crossings):
        assert before.zone != after.zone
        assert after.start_s >= before.end_s + 5.0 / GAIT.speed_m_s - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_nobody_walks_faster_than_their_gait(seed):
    person = walk(seed)
    for time_s in np.arange(0, 120, 0.1):
        here, next_ = person.spot_at(time_s), person.spot_at(time_s + 0.1)
        if here and next_ and here.zone == next_.zone:
            step_m = math.hypot(next_.ahead_m - here.ahead_m, next_.right_m - here.right_m)
            assert step_m <= GAIT.speed_m_s * 0.1 + 1e-6


def test_a_zone_is_entered_and_left_out_of_view():
    for crossing in walk(1).crossings:
        for spot in (crossing.spot_at(crossing.start_s), crossing.spot_at(crossing.end_s)):
            assert abs(spot.right_m) > 0.6 * spot.ahead_m + 0.5


def test_nobody_comes_under_the_camera():
    person = walk(2)
    spots = [spot for spot in map(person.spot_at, np.arange(0, 120, 0.25)) if spot]
    assert min(spot.ahead_m for spot in spots) >= NEAREST_AHEAD_M


def test_between_zones_a_person_is_nowhere():
    person = walk(0)
    gap_s = (person.crossings[0].end_s + person.crossings[1].start_s) / 2
    assert person.spot_at(gap_s) is None
    assert person.spot_at(-100.0) is None


def test_one_zone_is_walked_through_again_and_again():
    assert {crossing.zone for crossing in walk(0, num_zones=1).crossings} == {0}


def test_a_stop_stills_the_stride_and_the_way():
    stops = [c for seed in range(10) for c in walk(seed).crossings if (c.strides == 0).any()]
    assert stops
    for crossing in stops:
        time_s = float(crossing.knots_s[2] + crossing.knots_s[3]) / 2
        before, after = crossing.spot_at(time_s - 0.3), crossing.spot_at(time_s + 0.3)
        assert before.walked_m == after.walked_m
        assert before.stride == 0.0
