"""Detectors as the edge uses them: from a frame, which may bring its own boxes, to persons fit to be recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from edge.backends.tensorrt.detector import load_tensorrt_detector
from edge.errors import SourceError
from edge.frames import Frame
from edge.sources.mot import read_mot_boxes
from reid.box_arrays import clip
from reid.detector import Detections, Detector
from reid.detector_hog import HogDetector
from reid.detector_onnx import load_onnx_detector
from reid.errors import DetectorError

FORMS = (
    "hog (built in, slow), truth (boxes that come with the frames), a model FILE.onnx (tensorrt:FILE.onnx runs it on "
    "an NVIDIA GPU), or a MOT det.txt"
)
"""Every form of a detector's name, for messages and help texts."""


_ON_GPU = "tensorrt:"


class FrameDetector(Protocol):
    """Finds persons in a frame. One thread at a time."""

    def detect(self, frame: Frame) -> Detections:
        """Find persons.

        Returns:
            Boxes clipped to the frame, best score first.

        Raises:
            DetectorError: The model failed, or the frame lacks what this detector needs.
        """


class PictureDetector:
    """Looks at the picture alone.

    Args:
        detector: The model.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def detect(self, frame: Frame) -> Detections:
        """See `FrameDetector.detect`."""
        return self._detector.detect(frame.image)


class TruthDetector:
    """Hands out the boxes that came with the frame: of the simulated site, or of a MOT sequence."""

    def detect(self, frame: Frame) -> Detections:
        """See `FrameDetector.detect`."""
        if frame.truth is None:
            raise DetectorError(
                "detector 'truth': this camera's frames carry no boxes; only a simulated site and MOT sequences with "
                f"det/det.txt do. Use another detector: {FORMS}"
            )
        return clipped(frame.truth, frame)


class MotFileDetector:
    """Hands out the boxes of a MOT `det.txt` by frame number.

    Args:
        path: The file.

    Raises:
        DetectorError: It is missing or malformed.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._boxes = read_mot_boxes(path)
        except SourceError as error:
            raise DetectorError(str(error)) from None

    def detect(self, frame: Frame) -> Detections:
        """See `FrameDetector.detect`."""
        return clipped(self._boxes.get(frame.index + 1, Detections.none()), frame)


class SizeFilter:
    """Drops and counts persons that are too weak or too small to recognise.

    Args:
        detector: Finds them.
        min_score: Least score, in [0, 1].
        min_height_px: Least height of a box.

    Attributes:
        num_too_small: Boxes dropped for their height since the start.
    """

    def __init__(self, detector: FrameDetector, *, min_score: float, min_height_px: int) -> None:
        self.num_too_small = 0
        self._detector = detector
        self._min_score = min_score
        self._min_height_px = min_height_px

    def detect(self, frame: Frame) -> Detections:
        """See `FrameDetector.detect`."""
        found = self._detector.detect(frame)
        is_strong = found.scores >= self._min_score
        is_tall = found.xyxy[:, 3] - found.xyxy[:, 1] >= self._min_height_px
        self.num_too_small += int(np.count_nonzero(is_strong & ~is_tall))
        kept = is_strong & is_tall
        return found if kept.all() else Detections(found.xyxy[kept], found.scores[kept])


def open_detector(spec: str, *, min_score: float = 0.1, min_height_px: int = 32, num_threads: int = 0) -> SizeFilter:
    """Make the detector that a config names.

    Args:
        spec: One of `FORMS`.
        min_score: Weaker boxes are dropped. Keep it well below the tracker's `high_score`: weak boxes carry a track
            through an occlusion.
        min_height_px: Lower boxes are dropped and counted.
        num_threads: Threads of a model's call; 0 for one per core.

    Raises:
        DetectorError: The name is of no known form, or the file cannot be used.
    """
    return SizeFilter(
        _open(spec, min_score=min_score, num_threads=num_threads), min_score=min_score, min_height_px=min_height_px
    )


def clipped(detections: Detections, frame: Frame) -> Detections:
    """Cut boxes to a frame; those that lie outside are left out."""
    height, width = frame.image.shape[:2]
    boxes, inside = clip(detections.xyxy, width_px=width, height_px=height)
    return Detections(boxes[inside], detections.scores[inside])


def _open(spec: str, *, min_score: float, num_threads: int) -> FrameDetector:
    if spec == "hog":
        return PictureDetector(HogDetector(min_score=min_score))
    if spec == "truth":
        return TruthDetector()
    if spec.startswith(_ON_GPU):
        return PictureDetector(load_tensorrt_detector(Path(spec[len(_ON_GPU) :]), min_score=min_score))
    path = Path(spec)
    if path.suffix.lower() == ".onnx":
        return PictureDetector(load_onnx_detector(path, min_score=min_score, num_threads=num_threads))
    if path.suffix.lower() == ".txt":
        return MotFileDetector(path)
    raise DetectorError(f"no detector {spec!r}: give {FORMS}")
