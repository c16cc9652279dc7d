from __future__ import annotations

import numpy as np
import pytest

from reid.detector_grids import NanodetLayout, YoloxLayout
from reid.errors import DetectorError

WHOLE = {"width_px": 64, "height_px": 32, "min_score": 0.3}
"""A frame of the size of the input."""
TWICE = {"width_px": 128, "height_px": 64, "min_score": 0.3}
HALF = {"width_px": 32, "height_px": 16, "min_score": 0.3}


def yolox_output() -> np.ndarray:
    """No person anywhere: 4 x 8, 2 x 4 and 1 x 2 grid points of a picture of 32 x 64."""
    return np.zeros((1, 42, 85), np.float32)


def nanodet_outputs() -> list[np.ndarray]:
    return [np.zeros((1, cells, width), np.float32) for width in (80, 32) for cells in (32, 8, 2)]


def test_yolox_input_is_bgr_from_0_to_255_with_grey_114_around() -> None:
    frame = np.zeros((16, 64, 3), np.uint8)
    frame[:] = (10, 20, 30)
    (pixels,) = YoloxLayout(32, 64).prepare(frame)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 32, 64), np.float32)
    assert pixels[0, :, 0, 0].tolist() == [10, 20, 30]
    assert pixels[0, :, 20, 0].tolist() == [114, 114, 114]


def test_yolox_box_by_hand() -> None:
    output = yolox_output()
    # Row 32 + 4 + 1: stride 16, grid point (1, 1). Centre (1 + .5, 1 + .25) * 16, size (16 e^0, 16 e^.6931).
    output[0, 37, :6] = 0.5, 0.25, 0.0, np.log(2), 0.8, 0.5
    found = YoloxLayout(32, 64).decode([output], **TWICE)
    np.testing.assert_allclose(found.xyxy, [[32, 8, 64, 72]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.4], rtol=1e-6)


def test_yolox_reports_persons_only_and_only_strong_ones() -> None:
    output = yolox_output()
    output[0, 0, [4, 5]] = 0.9, 0.3  # weak person
    output[0, 1, [4, 7]] = 0.9, 0.9  # a car
    assert len(YoloxLayout(32, 64).decode([output], **WHOLE).scores) == 0


def test_a_yolox_that_decodes_itself_is_named_instead_of_misread() -> None:
    output = yolox_output()
    output[0, 3, :6] = 30, 20, 25, 60, 0.9, 0.9
    with pytest.raises(DetectorError, match="without --decode_in_inference"):
        YoloxLayout(32, 64).decode([output], **WHOLE)


def test_scores_that_are_not_finite_are_an_error() -> None:
    output = yolox_output()
    output[0, 3, 4] = np.nan
    with pytest.raises(DetectorError, match="not finite"):
        YoloxLayout(32, 64).decode([output], **WHOLE)


def test_nanodet_input_is_normalised_per_channel() -> None:
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:] = (103, 116, 124)
    (pixels,) = NanodetLayout(32, 64).prepare(frame)
    expected = [(103 - 103.53) / 57.375, (116 - 116.28) / 57.12, (124 - 123.675) / 58.395]
    np.testing.assert_allclose(pixels[0, :, 5, 5], expected, atol=1e-5)


def test_nanodet_box_by_hand() -> None:
    outputs = nanodet_outputs()
    outputs[1][0, 5, 0] = 0.7  # stride 16, cell (1, 1), centre (24, 24)
    sides = outputs[4][0, 5].reshape(4, 8)
    sides[[0, 1, 2, 3], [1, 0, 2, 3]] = 50.0  # left 1, top 0, right 2, bottom 3 cells, all but certain
    found = NanodetLayout(32, 64).decode(outputs, **HALF)
    np.testing.assert_allclose(found.xyxy, [[4, 12, 28, 36]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.7], rtol=1e-6)


def test_nanodet_distance_is_the_mean_of_its_distribution() -> None:
    outputs = nanodet_outputs()
    outputs[0][0, 0, 0] = 0.9  # all logits equal: 3.5 cells of 8 pixels to every side of (4, 4)
    found = NanodetLayout(32, 64).decode(outputs, **WHOLE)
    np.testing.assert_allclose(found.xyxy, [[-24, -24, 32, 32]], rtol=1e-5)


def test_nanodet_without_persons_gives_no_candidates() -> None:
    assert NanodetLayout(32, 64).decode(nanodet_outputs(), **WHOLE).xyxy.shape == (0, 4)
