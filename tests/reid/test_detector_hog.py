from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid.detector_hog import HogDetector, persons_in_windows, score_of_margin
from reid.errors import DetectorError


def figure() -> np.ndarray:
    """A dark upright figure on a bright ground; its box is about (143, 41, 177, 138)."""
    frame = np.full((240, 320, 3), 190, np.uint8)
    trunk = [(146, 57), (174, 57), (177, 85), (172, 92), (148, 92), (143, 85)]
    legs = [[(149, 90), (159, 90), (155, 138), (147, 138)], [(161, 90), (171, 90), (173, 138), (165, 138)]]
    for outline in (trunk, *legs):
        cv2.fillPoly(frame, [np.array(outline, np.int32)], (45, 45, 45))
    cv2.circle(frame, (160, 48), 7, (60, 60, 60), -1)
    return cv2.GaussianBlur(frame, (0, 0), 1)


def test_a_figure_is_found_where_it_stands() -> None:
    found = HogDetector(min_score=0.3).detect(figure())
    assert len(found) == 1
    np.testing.assert_allclose(found.xyxy[0], [143, 41, 177, 138], atol=10)


def test_an_empty_scene_gives_nothing() -> None:
    found = HogDetector().detect(np.full((120, 90, 3), 128, np.uint8))
    assert found.xyxy.shape == (0, 4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3), (400, 3, 3)], ids=["pixel", "flat", "thin"])
def test_frames_of_odd_shapes_do_no_harm(shape: tuple[int, ...]) -> None:
    assert len(HogDetector().detect(np.zeros(shape, np.uint8))) == 0


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(DetectorError, match="wanted BGR uint8"):
        HogDetector().detect(np.zeros((10, 10), np.uint8))


def test_the_margin_of_the_window_is_cut_off() -> None:
    person = persons_in_windows(np.array([[100, 200, 64, 128]], np.float32))
    np.testing.assert_allclose(person, [[113.44, 214.08, 149.92, 308.8]], rtol=1e-5)


def test_margins_become_scores_in_order() -> None:
    scores = score_of_margin(np.array([-5, 0, 0.5, 2, 50], np.float32))
    assert scores[2] == pytest.approx(0.5)
    assert (np.diff(scores) > 0).all()
    assert 0 < scores.min() <= scores.max() <= 1
