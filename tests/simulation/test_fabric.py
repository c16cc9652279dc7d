from typing import get_args

import numpy as np
import pytest

from simulation.fabric import Fabric, Pattern, colours_of, fold_shading

AZIMUTH, ALONG = (
    grid.astype(np.float32) for grid in np.meshgrid(np.linspace(-np.pi, np.pi, 41), np.linspace(0, 1, 31))
)
FRONT, BACK, CHEST = 20, 0, 20
RED, BLUE = (0.0, 0.0, 200.0), (200.0, 0.0, 0.0)


@pytest.mark.parametrize("pattern", get_args(Pattern))
def test_every_pattern_stays_between_its_two_colours(pattern):
    colours = colours_of(Fabric(base=RED, second=BLUE, pattern=pattern), AZIMUTH, ALONG)
    assert colours.dtype == np.float32
    assert colours.min() >= 0
    assert colours.max() <= 200


def test_a_plain_fabric_is_one_colour():
    assert colours_of(Fabric(base=RED), AZIMUTH, ALONG) == pytest.approx(np.array([[RED]]))


def test_a_logo_is_on_the_front_only():
    colours = colours_of(Fabric(base=RED, second=BLUE, pattern="logo"), AZIMUTH, ALONG)
    assert colours[CHEST, FRONT] == pytest.approx(BLUE)
    assert colours[CHEST, BACK] == pytest.approx(RED)


def test_hair_covers_the_back_of_the_head_and_not_the_face():
    colours = colours_of(Fabric(base=RED, second=BLUE, pattern="hair", scale=0.78), AZIMUTH, ALONG)
    assert colours[15, FRONT] == pytest.approx(RED)
    assert colours[15, BACK] == pytest.approx(BLUE)


@pytest.mark.parametrize("strap", ["shoulders", "diagonal"])
def test_a_strap_shows_on_the_front(strap):
    plain = colours_of(Fabric(base=RED), AZIMUTH, ALONG)
    strapped = colours_of(Fabric(base=RED, strap=strap, strap_colour=BLUE), AZIMUTH, ALONG)
    share = (np.abs(strapped - plain).max(axis=2) > 100)[:, 10:31].mean()
    assert 0.03 < share < 0.4


def test_folds_only_shade_a_little():
    shade = fold_shading(Fabric(base=RED, fold=0.05), AZIMUTH, ALONG)
    assert np.abs(shade - 1).max() <= 0.1 + 1e-6


def test_a_face_has_darker_eyes():
    shade = fold_shading(Fabric(base=RED, second=BLUE, pattern="hair"), AZIMUTH, ALONG)
    assert shade.min() < 0.6
    assert shade[:, BACK] == pytest.approx(1.0, abs=1e-3)
