from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.quality import clearness, completeness, rate_crops, sharpness
from reid.types import Box

WHOLE = Box(100, 100, 150, 230)


def rate(box, *others, score=0.9, crop=None):
    rng = np.random.default_rng(0)
    boxes = [box, *others]
    crops = np.stack([rng.integers(0, 256, (256, 128, 3), dtype=np.uint8) if crop is None else crop for _ in boxes])
    return rate_crops(crops, boxes, [score] * len(boxes), width_px=640, height_px=480)[0]


def test_whole_sharp_big_person_alone_is_worth_its_score():
    assert rate(WHOLE, score=1.0).value == pytest.approx(1.0, abs=0.02)


def test_small_person_counts_by_height():
    assert rate(Box(100, 100, 120, 164)).size == 0.5


@pytest.mark.parametrize(
    ("box", "factor"),
    [
        pytest.param(WHOLE, 1.0, id="inside"),
        pytest.param(Box(0, 100, 50, 230), 0.7, id="touches left"),
        pytest.param(Box(0, 350, 50, 480), 0.49, id="touches a corner"),
        pytest.param(Box(-50, 100, 50, 230), 0.35, id="half outside"),
        pytest.param(Box(700, 100, 750, 230), 0.0, id="outside"),
        pytest.param(Box(100, 100, 100, 230), 0.0, id="empty"),
    ],
)
def test_cut_person_counts_less(box, factor):
    assert completeness(box, width_px=640, height_px=480) == pytest.approx(factor)


def test_person_in_front_hides_and_one_behind_counts_half():
    in_front, behind = Box(125, 100, 175, 240), Box(125, 100, 175, 220)
    assert clearness(WHOLE, [in_front]) == pytest.approx(0.5)
    assert clearness(WHOLE, [behind]) > 0.7
    assert clearness(WHOLE, [Box(300, 100, 350, 230)]) == 1.0


def test_flat_crop_is_half_worth_and_noise_is_sharp(rng):
    flat = np.full((256, 128, 3), 90, dtype=np.uint8)
    noise = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
    assert sharpness(flat) == 0.5
    assert sharpness(noise) > 0.99


side = st.floats(-1e4, 1e4) | st.just(float("nan"))


@given(st.builds(Box, side, side, side, side), st.builds(Box, side, side, side, side), st.floats())
def test_quality_is_within_0_and_1_whatever_comes(box, other, score):
    flat = np.zeros((256, 128, 3), dtype=np.uint8)
    assert 0.0 <= rate(box, other, score=score, crop=flat).value <= 1.0
