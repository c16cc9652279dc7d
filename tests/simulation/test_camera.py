import math

import numpy as np
import pytest

from simulation.camera import NEAREST_M, Pinhole


def camera(yaw: float = 0.0, tilt: float = 0.0) -> Pinhole:
    return Pinhole(1.0, 2.0, 3.0, yaw, tilt, 500.0, 640, 360)


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
def test_a_point_straight_ahead_is_in_the_middle_of_the_picture(yaw):
    x, y = camera(yaw).place(8.0, 0.0)
    assert camera(yaw).project(np.array([[x, y, 3.0]]))[0] == pytest.approx([320, 180, 8])


def test_right_is_right_and_up_is_up():
    x, y = camera(0.7).place(5.0, 1.0)
    column, row, depth = camera(0.7).project(np.array([[x, y, 4.0]]))[0]
    assert (column, row, depth) == pytest.approx((320 + 100, 180 - 100, 5))


def test_tilting_down_brings_the_floor_into_view():
    tilted = camera(0.4, math.radians(45))
    x, y = tilted.place(3.0, 0.0)
    assert tilted.project(np.array([[x, y, 0.0]]))[0, :2] == pytest.approx([320, 180])


def test_a_point_behind_the_camera_is_projected_from_the_nearest_distance():
    x, y = camera().place(-4.0, 0.0)
    assert camera().project(np.array([[x, y, 3.0]]))[0, 2] == NEAREST_M


def test_rays_and_projection_agree():
    tilted = camera(0.4, 0.3)
    points = tilted.position + 7.0 * tilted.rays()[[10, 200], [20, 600]]
    assert tilted.project(points) == pytest.approx(np.array([[20.5, 10.5, 7], [600.5, 200.5, 7]]))
