"""Runs ONNX person detectors of any layout in `reid.detector_layouts` on the CPU with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from reid.box_arrays import clip, suppress
from reid.detector import Detections, Detector
from reid.detector_layouts import Candidates, GraphShapes, Layout, recognise_layout
from reid.errors import DetectorError
from reid.types import UInt8Array

_SAME_PERSON_IOU = 0.5
"""Two boxes that overlap by more are one person. People walking side by side stay below."""

_MOST_CANDIDATES = 300


def load_onnx_detector(path: Path, *, min_score: float = 0.3, num_threads: int = 0) -> Detector:
    """Load a detector from an ONNX file.

    Args:
        path: The file.
        min_score: Boxes below this are not reported, in [0, 1].
        num_threads: Threads of one call; 0 for one per core.

    Raises:
        DetectorError: The file is missing, cannot be loaded, or its shapes are of no known layout.
    """
    if not path.is_file():
        raise DetectorError(f"no detector at {path}: give an ONNX file")
    if not 0.0 <= min_score <= 1.0:
        raise DetectorError(f"min_score of {path.name} is {min_score}, wanted 0 to 1")
    session = _open_session(path, num_threads)
    kinds = {node.type for node in session.get_inputs()}
    if kinds != {"tensor(float)"}:
        raise DetectorError(f"{path} takes {', '.join(sorted(kinds)) or 'no input'}, wanted tensor(float)")
    graph = GraphShapes(
        inputs=tuple(tuple(node.shape) for node in session.get_inputs()),
        outputs=tuple(tuple(node.shape) for node in session.get_outputs()),
    )
    layout = recognise_layout(graph, name=str(path))
    return OnnxDetector(session, layout, name=path.name, min_score=min_score)


class OnnxDetector:
    """A loaded detector.

    Args:
        session: The graph.
        layout: How to feed it and read it.
        name: For messages.
        min_score: Boxes below this are not reported.
    """

    def __init__(self, session: ort.InferenceSession, layout: Layout, *, name: str, min_score: float) -> None:
        self._session = session
        self._layout = layout
        self._name = name
        self._min_score = min_score
        self._input = session.get_inputs()[0].name

    def detect(self, frame: UInt8Array) -> Detections:
        """See `Detector.detect`."""
        check_frame(frame)
        pixels, scale = self._layout.prepare(frame)
        try:
            outputs = self._session.run(None, {self._input: pixels})
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types
            raise DetectorError(f"{self._name} failed on a frame of {frame.shape}: {error}") from None
        candidates = self._layout.decode(outputs, scale, min_score=self._min_score)
        return _finish(candidates, frame)


def check_frame(frame: UInt8Array) -> None:
    """Refuse what is no picture.

    Raises:
        DetectorError: Not BGR uint8 (H, W, 3) with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise DetectorError(f"frame is {frame.dtype} {frame.shape}, wanted BGR uint8 (H, W, 3), not empty")


def _open_session(path: Path, num_threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a broken file
        raise DetectorError(f"{path} cannot be loaded by ONNX Runtime: {error}") from None


def _finish(candidates: Candidates, frame: UInt8Array) -> Detections:
    height, width = frame.shape[:2]
    clipped, inside = clip(candidates.xyxy, width_px=width, height_px=height)
    boxes, scores = clipped[inside], candidates.scores[inside]
    kept = suppress(boxes, scores, iou_threshold=_SAME_PERSON_IOU, most=_MOST_CANDIDATES)
    return Detections(boxes[kept], np.asarray(np.minimum(scores[kept], 1.0), dtype=np.float32))
