from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes_cameras import CAMERAS, CROPS

from reid.types import IntArray, UInt8Array
from train.errors import StyleError
from train.styles.choice import make_style
from train.styles.colour import ColourStyle
from train.styles.fourier import FourierStyle
from train.styles.judge import CameraJudge
from train.styles.style import Style, StyleSettings, crops_of_cameras


def colour(crops: UInt8Array, cameras: IntArray) -> Style:
    return ColourStyle(crops, cameras)


def fourier(crops: UInt8Array, cameras: IntArray) -> Style:
    return FourierStyle(crops, cameras, band=0.05)


each_light_style = pytest.mark.parametrize("make", [colour, fourier], ids=["colour", "fourier"])
Make = Callable[[UInt8Array, IntArray], Style]


@each_light_style
def test_a_dark_cameras_crop_gets_as_bright_as_the_bright_camera_sees_it(make: Make) -> None:
    restyled = make(CROPS, CAMERAS).restyle(np.array([0, 1]), np.array([1, 0]))
    means = [CROPS[camera == CAMERAS].mean() for camera in (0, 1)]
    assert abs(restyled[0].mean() - CROPS[0].mean() * means[1] / means[0]) < 12
    assert restyled[1].mean() < CROPS[1].mean() - 30
    assert restyled.dtype == np.uint8


@each_light_style
def test_a_crop_in_its_own_cameras_style_is_the_crop(make: Make) -> None:
    rows = np.array([3, 0, 2])
    np.testing.assert_array_equal(make(CROPS, CAMERAS).restyle(rows, CAMERAS[rows]), CROPS[rows])


@each_light_style
def test_what_tells_two_people_of_one_camera_apart_stays(make: Make) -> None:
    restyled = make(CROPS, CAMERAS).restyle(np.array([0, 2]), np.array([1, 1])).astype(float)
    before, after = (np.abs(pair[0].astype(float) - pair[1]).mean() for pair in (CROPS[[0, 2]], restyled))
    assert after > 0.8 * before


@each_light_style
def test_restyled_crops_pass_for_the_wanted_cameras(make: Make) -> None:
    judge = CameraJudge(CROPS, CAMERAS)
    assert judge.real_accuracy() > 0.9
    assert judge.passing_share(make(CROPS, CAMERAS)) > judge.unchanged_share() + 0.5


def test_a_camera_of_one_colour_does_not_divide_by_zero() -> None:
    crops = np.full((4, 16, 8, 3), 100, dtype=np.uint8)
    crops[2:] = 150
    restyled = ColourStyle(crops, np.array([0, 0, 1, 1])).restyle(np.array([0]), np.array([1]))
    assert np.abs(restyled.astype(int) - 150).max() <= 2


def test_averages_are_of_evenly_spread_crops() -> None:
    crops = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    chosen = crops_of_cameras(crops, np.array([0] * 7 + [1] * 3), most=3)
    assert [part.ravel().tolist() for part in chosen] == [[0, 3, 6], [7, 8, 9]]


def test_settings_choose_the_style() -> None:
    kinds = [type(make_style(StyleSettings(kind=kind), CROPS, CAMERAS)) for kind in ("none", "colour", "fourier")]
    assert kinds == [type(None), ColourStyle, FourierStyle]
    with pytest.raises(StyleError, match=r"style-transfer.*--styles"):
        make_style(StyleSettings(kind="stargan"), CROPS, CAMERAS)
