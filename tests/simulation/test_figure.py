import math

import numpy as np
import pytest

from simulation.camera import Pinhole
from simulation.figure import Light, figure_of, paint_figure, paint_shadow
from simulation.looks import draw_looks
from simulation.skeleton import Pose

CAMERA = Pinhole(0.0, 0.0, 1.6, 0.0, 0.1, 400.0, 160, 256)
LOOKS = draw_looks(np.random.default_rng(5), 6, difficulty="easy")


def pose(*, distance_m: float = 5.0, heading: float = math.pi, phase: float = 0.8, stride: float = 1.0) -> Pose:
    return Pose(x_m=distance_m, y_m=0.0, heading=heading, phase=phase, stride=stride)


def painted(look, where: Pose, grey: int = 127):
    image = np.full((256, 160, 3), grey, dtype=np.uint8)
    figure = figure_of(look, where, CAMERA)
    paint_figure(image, figure, Light())
    return image, figure


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("heading", [0.0, math.pi / 2, math.pi])
def test_the_box_bounds_what_is_painted_tightly(look, heading):
    (dark, figure), (bright, _) = painted(look, pose(heading=heading), 0), painted(look, pose(heading=heading), 255)
    rows, columns = np.nonzero((dark == bright).all(axis=2))
    box = figure.box
    assert box.x1 - 1 <= columns.min() <= box.x1 + 6
    assert box.x2 - 7 <= columns.max() <= box.x2 + 1
    assert box.y1 - 1 <= rows.min() <= box.y1 + 6
    assert box.y2 - 7 <= rows.max() <= box.y2 + 1


def test_a_person_twice_as_far_is_half_as_high():
    near, far = figure_of(LOOKS[0], pose(distance_m=5), CAMERA), figure_of(LOOKS[0], pose(distance_m=10), CAMERA)
    assert far.box.height_px == pytest.approx(near.box.height_px / 2, rel=0.05)


def test_hair_hides_the_face_from_behind():
    heads = [painted(LOOKS[0], pose(heading=heading, stride=0.0)) for heading in (math.pi, 0.0)]
    top = math.ceil(heads[0][1].box.y1)
    front, back = (image[top : top + 18, 70:90].astype(int) for image, _ in heads)
    assert np.abs(front - back).max() > 60


def test_a_person_outside_the_frame_leaves_it_unchanged():
    image = np.full((256, 160, 3), 90, dtype=np.uint8)
    aside = Pose(x_m=5.0, y_m=9.0, heading=0.0, phase=0.0, stride=1.0)
    paint_figure(image, figure_of(LOOKS[0], aside, CAMERA), Light())
    paint_shadow(image, figure_of(LOOKS[0], aside, CAMERA), CAMERA)
    assert (image == 90).all()


def test_a_shadow_darkens_the_floor_at_the_feet():
    image = np.full((256, 160, 3), 200, dtype=np.uint8)
    figure = figure_of(LOOKS[0], pose(), CAMERA)
    paint_shadow(image, figure, CAMERA)
    assert image[round(figure.foot[1]), round(figure.foot[0])].max() < 140
    assert image[:100].min() == 200
