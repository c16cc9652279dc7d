import dataclasses

import numpy as np
import pytest

from simulation.looks import draw_looks
from simulation.skeleton import Pose, body_parts

LOOKS = draw_looks(np.random.default_rng(8), 12, difficulty="easy")


def parts(look, *, phase=0.0, stride=1.0, heading=0.0):
    return body_parts(look, Pose(x_m=2.0, y_m=3.0, heading=heading, phase=phase, stride=stride))


@pytest.mark.parametrize("phase", np.linspace(0, 6.28, 7))
def test_one_foot_is_always_on_the_floor(phase):
    lowest = min(min(part.start[2], part.end[2]) for part in parts(LOOKS[0], phase=phase))
    assert 0.0 < lowest < 0.06


@pytest.mark.parametrize("look", LOOKS)
def test_the_crown_is_at_the_person_s_height(look):
    standing = dataclasses.replace(look, hair_style="short")
    crown = max(part.end[2] + part.radii_m[-1] for part in parts(standing, stride=0.0))
    assert crown == pytest.approx(look.height_m, rel=0.02)


def test_a_standing_person_does_not_move_with_the_phase():
    for one, other in zip(parts(LOOKS[0], phase=0.0, stride=0.0), parts(LOOKS[0], phase=2.0, stride=0.0), strict=True):
        assert np.allclose(one.start, other.start)


def test_a_backpack_is_behind_the_back():
    look = dataclasses.replace(LOOKS[0], bag="backpack")
    bag = parts(look, heading=0.0)[-1]
    assert bag.start[0] < 2.0 - 0.1


def test_bags_add_parts():
    counts = {
        bag: len(parts(dataclasses.replace(LOOKS[0], bag=bag)))
        for bag in ("none", "backpack", "shoulder_bag", "handbag")
    }
    assert counts["none"] < min(counts["backpack"], counts["shoulder_bag"], counts["handbag"])
