import numpy as np
import pytest

from simulation.backdrop import Furniture
from simulation.camera import Pinhole
from simulation.figure import figure_of
from simulation.looks import draw_looks
from simulation.skeleton import Pose
from simulation.visibility import Visibility

CAMERA = Pinhole(0.0, 0.0, 2.5, 0.0, 0.25, 300.0, 320, 180)
LOOK = draw_looks(np.random.default_rng(1), 1)[0]


def figure(ahead_m: float, left_m: float = 0.0):
    return figure_of(LOOK, Pose(x_m=ahead_m, y_m=left_m, heading=1.0, phase=1.0, stride=1.0), CAMERA)


def visibility(*furniture: Furniture) -> Visibility:
    return Visibility(furniture, width_px=320, height_px=180)


def test_a_person_alone_is_wholly_visible():
    assert visibility().fractions([figure(7.0)]) == [1.0]


def test_who_stands_behind_another_is_hidden_whatever_the_order():
    (front, back), (back_first, front_last) = (
        visibility().fractions([figure(5.0), figure(6.0)]),
        visibility().fractions([figure(6.0), figure(5.0)]),
    )
    assert (front, back) == (front_last, back_first)
    assert front == 1.0
    assert back < 0.5


def test_who_leaves_the_frame_is_partly_visible():
    (edge,) = visibility().fractions([figure(6.0, 3.25)])
    assert 0.05 < edge < 0.95
    assert visibility().fractions([figure(6.0, 9.0)]) == [0.0]


@pytest.mark.parametrize(("depth_m", "visible"), [(4.0, 0.0), (9.0, 1.0)], ids=["in front", "behind"])
def test_furniture_hides_only_those_behind_it(depth_m, visible):
    wall = Furniture(depth_m, np.ones((180, 320), dtype=bool), (0, 180, 0, 320))
    assert visibility(wall).fractions([figure(6.0)]) == [visible]


def test_nobody_there_is_nothing_to_count():
    assert visibility().fractions([]) == []
