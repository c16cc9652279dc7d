"""Person detectors from ONNX files, of any layout in `reid.detector_layouts`; on the CPU by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from reid.box_arrays import clip, suppress
from reid.detector import Detections, Detector
from reid.detector_graph import AnyArray, Candidates, DetectorSession, GraphShapes, Layout
from reid.detector_layouts import recognise_layout
from reid.errors import DetectorError
from reid.types import UInt8Array

_SAME_PERSON_IOU = 0.5
"""Two boxes that overlap by more are one person. People walking side by side stay below."""

_MOST_CANDIDATES = 300
_ORT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
"""Where ONNX Runtime's name is not numpy's in brackets."""


def load_onnx_detector(path: Path, *, min_score: float = 0.3, num_threads: int = 0) -> Detector:
    """Load a detector from an ONNX file.

    Args:
        path: The file.
        min_score: Boxes below this are not reported, in [0, 1].
        num_threads: Threads of one call; 0 for one per core.

    Raises:
        DetectorError: The file is missing, cannot be loaded, or its shapes are of no known layout.
    """
    check_detector_file(path, min_score=min_score)
    return detector_of(OnnxSession(path, num_threads=num_threads), path, min_score=min_score)


def check_detector_file(path: Path, *, min_score: float) -> None:
    """Refuse what cannot be a detector's file and score.

    Raises:
        DetectorError: There is no such file, or the score lies outside [0, 1].
    """
    if not path.is_file():
        raise DetectorError(f"no detector at {path}: give an ONNX file")
    if not 0.0 <= min_score <= 1.0:
        raise DetectorError(f"min_score of {path.name} is {min_score}, wanted 0 to 1")


def detector_of(session: DetectorSession, path: Path, *, min_score: float) -> Detector:
    """The detector of a graph that is ready to run.

    Args:
        session: The graph.
        path: Its file, for messages.
        min_score: Boxes below this are not reported.

    Raises:
        DetectorError: Its shapes are of no known layout, or it takes other numbers than that layout feeds.
    """
    layout = recognise_layout(session.shapes, name=str(path))
    _check_types(session, layout, path)
    return OnnxDetector(session, layout, name=path.name, min_score=min_score)


class OnnxSession:
    """Runs a graph with ONNX Runtime. See `DetectorSession`.

    Args:
        path: The ONNX file.
        num_threads: Threads of one call; 0 for one per core.

    Raises:
        DetectorError: It cannot be loaded.
    """

    def __init__(self, path: Path, *, num_threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a broken file
            raise DetectorError(f"{path} cannot be loaded by ONNX Runtime: {error}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.shapes = GraphShapes(
            inputs=tuple(tuple(node.shape) for node in inputs),
            outputs=tuple(tuple(node.shape) for node in outputs),
            input_names=tuple(node.name for node in inputs),
            output_names=tuple(node.name for node in outputs),
        )
        self.input_types = [_ORT_TYPES.get(node.type, node.type[len("tensor(") : -1]) for node in inputs]

    def run(self, feeds: Sequence[AnyArray]) -> Sequence[AnyArray]:
        """See `DetectorSession.run`."""
        try:
            outputs: Sequence[AnyArray] = self._session.run(
                None, dict(zip(self.shapes.input_names, feeds, strict=True))
            )
        except Exception as error:  # here too
            raise DetectorError(f"ONNX Runtime: {error}") from None
        return outputs


class OnnxDetector:
    """A loaded detector.

    Args:
        session: The graph.
        layout: How to feed it and read it.
        name: For messages.
        min_score: Boxes below this are not reported.
    """

    def __init__(self, session: DetectorSession, layout: Layout, *, name: str, min_score: float) -> None:
        self._session = session
        self._layout = layout
        self._name = name
        self._min_score = min_score

    def detect(self, frame: UInt8Array) -> Detections:
        """See `Detector.detect`."""
        check_frame(frame)
        height, width = frame.shape[:2]
        try:
            outputs = self._session.run(self._layout.prepare(frame))
        except DetectorError as error:
            raise DetectorError(f"{self._name} failed on a frame of {frame.shape}: {error}") from None
        candidates = self._layout.decode(outputs, width_px=width, height_px=height, min_score=self._min_score)
        return _finish(candidates, width_px=width, height_px=height, suppresses=self._layout.needs_suppression)


def check_frame(frame: UInt8Array) -> None:
    """Refuse what is no picture.

    Raises:
        DetectorError: Not BGR uint8 (H, W, 3) with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise DetectorError(f"frame is {frame.dtype} {frame.shape}, wanted BGR uint8 (H, W, 3), not empty")


def _check_types(session: DetectorSession, layout: Layout, path: Path) -> None:
    """Refuse a graph that takes numbers of another type than its layout feeds: one in half precision, say."""
    fed = layout.prepare(np.zeros((8, 8, 3), dtype=np.uint8))
    for name, came, array in zip(session.shapes.input_names, session.input_types, fed, strict=True):
        if came != array.dtype.name:
            raise DetectorError(f"{path} takes {came} as {name}, wanted {array.dtype.name}: export it anew")


def _finish(candidates: Candidates, *, width_px: int, height_px: int, suppresses: bool) -> Detections:
    clipped, inside = clip(candidates.xyxy, width_px=width_px, height_px=height_px)
    boxes, scores = clipped[inside], candidates.scores[inside]
    if suppresses:
        kept = suppress(boxes, scores, iou_threshold=_SAME_PERSON_IOU, most=_MOST_CANDIDATES)
    else:
        kept = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    return Detections(boxes[kept], np.asarray(np.minimum(scores[kept], 1.0), dtype=np.float32))
