"""OpenCV's HOG people detector: needs no model file, finds upright people only, and is slower than a small network.

Paper: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005; the trained weights come with
OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np

from reid.box_arrays import clip, suppress
from reid.detector import Detections
from reid.detector_onnx import check_frame
from reid.types import FloatArray, UInt8Array

_WORK_SHORT_SIDE_PX = 720
_WORK_LONG_SIDE_PX = 1280
"""Frames are scaled to fit these: the window finds nobody below about 95 pixels, and time grows with the area."""

_PERSON_IN_WINDOW = np.array([0.21, 0.11, 0.78, 0.85], dtype=np.float32)
"""Where in its window a person stands: x1, y1, x2, y2 as shares. The weights were trained with a margin around them."""

_MARGIN_AT_HALF = 0.5
"""SVM margin at which half of the boxes are persons, seen on street video."""

_SAME_PERSON_IOU = 0.4
_MOST_CANDIDATES = 300


class HogDetector:
    """Finds upright people with OpenCV's built-in weights.

    Args:
        min_score: Boxes below this are not reported, in [0, 1].
    """

    def __init__(self, *, min_score: float = 0.3) -> None:
        self._min_score = min_score
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32))

    def detect(self, frame: UInt8Array) -> Detections:
        """See `Detector.detect`."""
        check_frame(frame)
        height, width = frame.shape[:2]
        scale = min(_WORK_SHORT_SIDE_PX / min(height, width), _WORK_LONG_SIDE_PX / max(height, width))
        work_size = max(64, round(width * scale)), max(128, round(height * scale))
        windows, margins = self._hog.detectMultiScale(
            cv2.resize(frame, work_size), winStride=(8, 8), padding=(8, 8), scale=1.1
        )
        if len(windows) == 0:
            return Detections.none()
        boxes = persons_in_windows(np.asarray(windows, dtype=np.float32)) / np.float32(scale)
        clipped, inside = clip(boxes, width_px=width, height_px=height)
        scores = score_of_margin(np.asarray(margins, dtype=np.float32).ravel())
        rows = np.flatnonzero(inside & (scores >= self._min_score))
        kept = rows[suppress(clipped[rows], scores[rows], iou_threshold=_SAME_PERSON_IOU, most=_MOST_CANDIDATES)]
        return Detections(clipped[kept], scores[kept])


def persons_in_windows(windows_xywh: FloatArray) -> FloatArray:
    """Boxes `xyxy` (N, 4) of the persons in detection windows `xywh` (N, 4)."""
    corners = np.tile(windows_xywh[:, :2], 2) + np.tile(windows_xywh[:, 2:], 2) * _PERSON_IN_WINDOW
    return np.asarray(corners, dtype=np.float32)


def score_of_margin(margins: FloatArray) -> FloatArray:
    """SVM margins (N,) as scores in (0, 1)."""
    return np.asarray(1.0 / (1.0 + np.exp(_MARGIN_AT_HALF - margins)), dtype=np.float32)
