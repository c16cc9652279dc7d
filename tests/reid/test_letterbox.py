from __future__ import annotations

import numpy as np
import pytest

from reid.letterbox import Letterbox, unplace


def grey(height: int, width: int, level: int = 200) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("shape", "used", "scale"),
    [((50, 100), (16, 32), 0.32), ((100, 50), (32, 16), 0.32), ((8, 8), (32, 32), 4.0), ((1, 3200), (1, 32), 0.01)],
    ids=["wide", "tall", "small-is-enlarged", "thread"],
)
def test_a_frame_lies_top_left_and_the_rest_is_filled(
    shape: tuple[int, int], used: tuple[int, int], scale: float
) -> None:
    letterbox = Letterbox(width_px=32, height_px=32, fill=114)
    canvas = letterbox.place(grey(*shape))
    assert letterbox.scale_of(shape[1], shape[0]) == pytest.approx(scale)
    expected = grey(32, 32, 114)
    expected[: used[0], : used[1]] = 200
    np.testing.assert_array_equal(canvas, expected)


def test_nothing_of_an_earlier_frame_of_another_shape_remains() -> None:
    letterbox = Letterbox(width_px=32, height_px=32, fill=0)
    letterbox.place(grey(64, 32))
    canvas = letterbox.place(grey(32, 64, level=100))
    assert set(np.unique(canvas)) == {0, 100}
    assert canvas[16:].max() == 0


def test_boxes_come_back_to_where_they_were_in_the_frame() -> None:
    box = np.array([[10, 20, 40, 80]], np.float32)
    scale = Letterbox(width_px=416, height_px=416, fill=114).scale_of(1920, 1080)
    np.testing.assert_allclose(unplace(box * np.float32(scale), scale), box, rtol=1e-6)
