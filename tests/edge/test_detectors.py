from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_source import make_frame, picture

from edge.detectors import SizeFilter, open_detector
from edge.frames import Frame
from reid.detector import Detections
from reid.errors import DetectorError


def frame_with(*rows: tuple[float, float, float, float, float], index: int = 0) -> Frame:
    """A frame of 200 x 300 with boxes x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Frame(picture(height=200, width=300), 0, index, Detections(table[:, :4], table[:, 4]))


def test_truth_hands_out_the_boxes_of_the_frame_clipped() -> None:
    found = open_detector("truth").detect(frame_with((-10, 10, 50, 100, 0.9), (400, 10, 450, 100, 0.8)))
    assert found.xyxy.tolist() == [[0, 10, 50, 100]]


def test_truth_needs_frames_that_carry_boxes() -> None:
    with pytest.raises(DetectorError, match=r"frames carry no boxes.*Use another detector: hog"):
        open_detector("truth").detect(make_frame(0))


def test_boxes_of_a_mot_file_belong_to_frames_by_number(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,0,0,40,80,1\n2,-1,5,5,40,80,1\n")
    detector = open_detector(str(tmp_path / "det.txt"))
    found = [detector.detect(frame_with(index=index)).xyxy.tolist() for index in range(3)]
    assert found == [[[0, 0, 40, 80]], [[5, 5, 45, 85]], []]


def test_weak_and_small_boxes_are_dropped_and_the_small_ones_counted() -> None:
    detector = open_detector("truth", min_score=0.3, min_height_px=40)
    found = detector.detect(frame_with((0, 0, 20, 40, 0.9), (0, 0, 20, 39, 0.9), (0, 0, 20, 90, 0.2)))
    assert found.xyxy.tolist() == [[0, 0, 20, 40]]
    assert detector.num_too_small == 1
    detector.detect(frame_with((0, 0, 20, 30, 0.9)))
    assert detector.num_too_small == 2


def test_hog_looks_at_the_picture() -> None:
    detector = open_detector("hog")
    assert isinstance(detector, SizeFilter)
    assert len(detector.detect(make_frame(0, picture(height=64, width=64)))) == 0


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("yolo", "no detector 'yolo': give hog"),
        ("", "no detector ''"),
        ("none.onnx", r"no detector at none\.onnx"),
        ("none.txt", r"cannot read MOT boxes none\.txt"),
    ],
)
def test_an_unusable_name_is_refused(spec: str, reason: str) -> None:
    with pytest.raises(DetectorError, match=reason):
        open_detector(spec)
