import numpy as np
import pytest

from simulation.backdrop import draw_backdrop
from simulation.camera import Pinhole

CAMERA = Pinhole(0.0, 0.0, 2.8, 1.0, 0.3, 280.0, 320, 180)


def test_a_seed_furnishes_the_same_scene():
    one, two = (draw_backdrop(np.random.default_rng(4), CAMERA) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert not np.array_equal(one.image, draw_backdrop(np.random.default_rng(5), CAMERA).image)


@pytest.mark.parametrize("seed", range(6))
def test_furniture_comes_farthest_first_with_bounds_of_its_mask(seed):
    furniture = draw_backdrop(np.random.default_rng(seed), CAMERA).furniture
    assert [thing.depth_m for thing in furniture] == sorted((thing.depth_m for thing in furniture), reverse=True)
    for thing in furniture:
        top, bottom, left, right = thing.bounds
        assert thing.mask.any()
        assert thing.mask[top:bottom, left:right].sum() == thing.mask.sum()


def test_the_scene_leaves_room_for_light_and_dark():
    image = draw_backdrop(np.random.default_rng(0), CAMERA).image
    assert 60 < image.mean() < 210
