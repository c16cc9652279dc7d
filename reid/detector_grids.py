"""Detectors that answer for every point of grids over the picture: YOLOX and NanoDet.

A point says whether somebody is there, and where that one's sides are. Neighbouring points answer for the same person,
so suppression follows. Letters: A grid points of all strides together, K classes. Class 0 is the person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid.detector_graph import PERSON, AnyArray, Candidates, GraphShapes, check_finite
from reid.errors import DetectorError
from reid.letterbox import Letterbox, unplace
from reid.types import FloatArray, UInt8Array

_STRIDES = (8, 16, 32)
_MOST_LOG_SIZE = 10.0
"""exp(10) cells is wider than any picture; larger values are no logarithms of sizes."""


class YoloxLayout:
    """YOLOX exported without in-graph decoding; takes BGR 0-255.

    A row of the output is centre x, centre y (cells from its grid point), ln width, ln height (cells), objectness and K
    class scores, both already through the sigmoid. Rows run over the grids of strides 8, 16, 32, row by row.

    Paper: Ge et al., YOLOX, arXiv 2107.08430, section 2.1.
    """

    description = "YOLOX, not decoded: (N, 3, H, W) -> (N, A, 5+K) with A = HW/64 + HW/256 + HW/1024"
    needs_suppression = True

    def __init__(self, height_px: int, width_px: int) -> None:
        self._letterbox = Letterbox(width_px=width_px, height_px=height_px, fill=114)
        self._input: FloatArray = np.empty((1, 3, height_px, width_px), dtype=np.float32)
        self._points, self._strides = _grid(height_px, width_px)

    @classmethod
    def recognise(cls, graph: GraphShapes) -> YoloxLayout | None:
        """See `Layout.recognise`."""
        if graph.picture is None or len(graph.outputs) != 1 or len(graph.outputs[0]) != 3:
            return None
        _, rows, columns = graph.outputs[0]
        fits = rows == sum(_cells(graph.picture)) and isinstance(columns, int) and columns > 5
        return cls(*graph.picture) if fits else None

    def prepare(self, frame: UInt8Array) -> tuple[AnyArray, ...]:
        """See `Layout.prepare`."""
        canvas = self._letterbox.place(frame)
        np.copyto(self._input[0], canvas.transpose(2, 0, 1))
        return (self._input,)

    def decode(self, outputs: Sequence[AnyArray], *, width_px: int, height_px: int, min_score: float) -> Candidates:
        """See `Layout.decode`."""
        rows = outputs[0][0]
        scores = rows[:, 4] * rows[:, 5 + PERSON]
        check_finite(scores)
        kept = np.flatnonzero(scores >= min_score)
        strides = self._strides[kept, None]
        log_sizes = rows[kept, 2:4]
        if log_sizes.max(initial=0.0) > _MOST_LOG_SIZE:
            raise DetectorError(
                f"box sizes up to e^{log_sizes.max():.0f} cells: this YOLOX graph decodes its boxes itself; "
                "export it without --decode_in_inference"
            )
        centres = (rows[kept, :2] + self._points[kept]) * strides
        halves = np.exp(log_sizes) * strides / 2
        scale = self._letterbox.scale_of(width_px, height_px)
        return Candidates(unplace(np.hstack([centres - halves, centres + halves]), scale), scores[kept])


class NanodetLayout:
    """NanoDet-m and its like: three outputs of class scores, three of distances to the four sides.

    Class scores are through the sigmoid. A distance is the mean of a distribution over `bins` whole cells, from the
    centre of the grid cell. Input is BGR, normalised with ImageNet's mean and deviation.

    Paper: Li et al., Generalized Focal Loss, arXiv 2006.04388, section 3.2 (the distribution of distances).
    """

    description = "NanoDet: (N, 3, H, W) -> 3 x (N, A_s, K), 3 x (N, A_s, 4 bins) with A_s = HW/s^2, s = 8, 16, 32"
    needs_suppression = True

    _MEAN_BGR = (103.53, 116.28, 123.675)
    _DEVIATION_BGR = (57.375, 57.12, 58.395)

    def __init__(self, height_px: int, width_px: int) -> None:
        self._letterbox = Letterbox(width_px=width_px, height_px=height_px, fill=0)
        self._input: FloatArray = np.empty((1, 3, height_px, width_px), dtype=np.float32)
        self._points, self._strides = _grid(height_px, width_px)
        gain = 1.0 / np.array(self._DEVIATION_BGR, dtype=np.float32)
        self._gain = gain[:, None, None]
        self._offset = (np.array(self._MEAN_BGR, dtype=np.float32) * gain)[:, None, None]

    @classmethod
    def recognise(cls, graph: GraphShapes) -> NanodetLayout | None:
        """See `Layout.recognise`."""
        if graph.picture is None or len(graph.outputs) != 6 or any(len(shape) != 3 for shape in graph.outputs):
            return None
        rows = [shape[1] for shape in graph.outputs]
        columns = [shape[2] for shape in graph.outputs]
        bins = columns[-1]
        fits = (
            rows == [*_cells(graph.picture), *_cells(graph.picture)]
            and columns == [columns[0]] * 3 + [bins] * 3
            and (isinstance(bins, int) and bins % 4 == 0 and bins >= 8)
        )
        return cls(*graph.picture) if fits else None

    def prepare(self, frame: UInt8Array) -> tuple[AnyArray, ...]:
        """See `Layout.prepare`."""
        canvas = self._letterbox.place(frame)
        np.multiply(canvas.transpose(2, 0, 1), self._gain, out=self._input[0])
        self._input[0] -= self._offset
        return (self._input,)

    def decode(self, outputs: Sequence[AnyArray], *, width_px: int, height_px: int, min_score: float) -> Candidates:
        """See `Layout.decode`."""
        scores = np.concatenate([part[0, :, PERSON] for part in outputs[:3]])
        check_finite(scores)
        kept = np.flatnonzero(scores >= min_score)
        logits = np.concatenate([part[0] for part in outputs[3:]])[kept]
        distances = _expected_bins(logits.reshape(len(kept), 4, logits.shape[1] // 4)) * self._strides[kept, None]
        centres = (self._points[kept] + 0.5) * self._strides[kept, None]
        xyxy = np.hstack([centres - distances[:, :2], centres + distances[:, 2:]])
        return Candidates(unplace(xyxy, self._letterbox.scale_of(width_px, height_px)), scores[kept])


def _cells(picture: tuple[int, int]) -> list[int]:
    height, width = picture
    return [-(-height // stride) * -(-width // stride) for stride in _STRIDES]


def _grid(height_px: int, width_px: int) -> tuple[FloatArray, FloatArray]:
    """Column and row of every grid point (A, 2), and its stride (A,), in the order of the outputs."""
    points, strides = [], []
    for stride in _STRIDES:
        rows, columns = np.mgrid[0 : -(-height_px // stride), 0 : -(-width_px // stride)]
        points.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full(rows.size, stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _expected_bins(logits: FloatArray) -> FloatArray:
    """Mean of softmax distributions over 0, 1, 2, …; (N, 4, bins) to (N, 4)."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mean = (weights @ np.arange(logits.shape[-1], dtype=np.float32)) / weights.sum(axis=-1)
    return np.asarray(mean, dtype=np.float32)
