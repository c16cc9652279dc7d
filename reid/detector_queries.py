"""Detectors of the DETR kind, which answer for a fixed number of queries: RT-DETR, D-FINE and RF-DETR.

Each query stands for at most one person, as training matches them one to one, so no suppression follows. The picture
is resized without regard to its proportions, as in training: nothing is letterboxed, and boxes are shares of it.
RT-DETR and D-FINE saw pictures shrunk by Pillow, which averages; RF-DETR asks for plain linear interpolation.
Families are told apart by the names of inputs and outputs: their shapes may be the same, their meaning is not.
Letters: Q queries, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from reid.detector_graph import PERSON, AnyArray, Candidates, GraphShapes, check_finite, picture_size
from reid.errors import DetectorError
from reid.types import FloatArray, UInt8Array

_MEAN_RGB = (0.485, 0.456, 0.406)
_DEVIATION_RGB = (0.229, 0.224, 0.225)

_COCO_CATEGORIES = 91
"""Columns of a network trained on COCO's own category numbers, which leave gaps and begin at 1, the person."""
_SOFTMAX_CLASSES = (91, 92)
"""Columns of DETR and YOLOS trained on COCO: same names and shapes, but scores from a softmax with a background."""


class StretchedPicture:
    """Resizes frames to the input of a network and scales their values: RGB, from 0 to 1, then normalised.

    Args:
        height_px: Height of the input.
        width_px: Width of the input.
        averages: Average over the pixels that become one, instead of interpolating between the nearest.
        mean: Per channel, RGB, of values from 0 to 1.
        deviation: Per channel, likewise.
    """

    def __init__(
        self,
        height_px: int,
        width_px: int,
        *,
        averages: bool,
        mean: tuple[float, ...] = (0.0,) * 3,
        deviation: tuple[float, ...] = (1.0,) * 3,
    ) -> None:
        self._size = width_px, height_px
        self._averages = averages
        self._input: FloatArray = np.empty((1, 3, height_px, width_px), dtype=np.float32)
        self._gain = 1.0 / (255.0 * np.array(deviation, dtype=np.float32))
        self._offset = np.array(mean, dtype=np.float32) / np.array(deviation, dtype=np.float32)

    def place(self, frame: UInt8Array) -> FloatArray:
        """The frame as input (1, 3, H, W), valid until the next call."""
        shrinks = frame.shape[1] > self._size[0] or frame.shape[0] > self._size[1]
        method = cv2.INTER_AREA if self._averages and shrinks else cv2.INTER_LINEAR
        picture = cv2.resize(frame, self._size, interpolation=method)
        for channel, plane in enumerate(cv2.split(picture)[::-1]):
            np.multiply(plane, self._gain[channel], out=self._input[0, channel])
            self._input[0, channel] -= self._offset[channel]
        return self._input


class DecodedQueriesLayout:
    """RT-DETR, RT-DETRv2, D-FINE and DEIM by their own export, which decodes in the graph.

    The second input is the width and height of the frame, and boxes come back in pixels of that. Label 0 is the
    person. Pictures are RGB from 0 to 1.

    Papers: Zhao et al., RT-DETR, arXiv 2304.08069; Peng et al., D-FINE, arXiv 2410.13842.
    """

    description = (
        "RT-DETR or D-FINE: images (N, 3, H, W), orig_target_sizes (N, 2) -> labels (N, Q), boxes (N, Q, 4), "
        "scores (N, Q)"
    )
    needs_suppression = False

    def __init__(self, graph: GraphShapes, height_px: int, width_px: int) -> None:
        self._picture = StretchedPicture(height_px, width_px, averages=True)
        self._is_picture_first = graph.input_names[0] == "images"
        self._labels_at, self._boxes_at, self._scores_at = map(graph.output_names.index, ("labels", "boxes", "scores"))

    @classmethod
    def recognise(cls, graph: GraphShapes) -> DecodedQueriesLayout | None:
        """See `Layout.recognise`."""
        if set(graph.input_names) != {"images", "orig_target_sizes"}:
            return None
        if not {"labels", "boxes", "scores"} <= set(graph.output_names):
            return None
        size = picture_size(graph.inputs[graph.input_names.index("images")])
        return cls(graph, *size) if size else None

    def prepare(self, frame: UInt8Array) -> tuple[AnyArray, ...]:
        """See `Layout.prepare`."""
        frame_size = np.array([[frame.shape[1], frame.shape[0]]], dtype=np.int64)
        picture = self._picture.place(frame)
        return (picture, frame_size) if self._is_picture_first else (frame_size, picture)

    def decode(self, outputs: Sequence[AnyArray], *, width_px: int, height_px: int, min_score: float) -> Candidates:
        """See `Layout.decode`; the frame's size has been in the input already."""
        labels, scores, boxes = outputs[self._labels_at][0], outputs[self._scores_at][0], outputs[self._boxes_at][0]
        _check_queries(scores, boxes)
        check_finite(scores)
        kept = np.flatnonzero((labels == PERSON) & (scores >= min_score))
        return Candidates(np.asarray(boxes[kept], dtype=np.float32), np.asarray(scores[kept], dtype=np.float32))


class _RawQueriesLayout:
    """Class scores before the sigmoid (N, Q, K), and boxes cx, cy, w, h in shares of the picture (N, Q, 4)."""

    needs_suppression = False

    def __init__(self, picture: StretchedPicture, graph: GraphShapes, *, scores: str, boxes: str, person: int) -> None:
        self._picture = picture
        self._scores_at = graph.output_names.index(scores)
        self._boxes_at = graph.output_names.index(boxes)
        self._person = person

    def prepare(self, frame: UInt8Array) -> tuple[AnyArray, ...]:
        """See `Layout.prepare`."""
        return (self._picture.place(frame),)

    def decode(self, outputs: Sequence[AnyArray], *, width_px: int, height_px: int, min_score: float) -> Candidates:
        """See `Layout.decode`."""
        logits, boxes = outputs[self._scores_at][0], outputs[self._boxes_at][0]
        _check_queries(logits, boxes)
        person_logits = logits[:, self._person]
        check_finite(person_logits)
        scores = 1.0 / (1.0 + np.exp(-np.clip(person_logits, -50.0, 50.0)))
        kept = np.flatnonzero(scores >= min_score)
        centres, halves = boxes[kept, :2], boxes[kept, 2:] / 2
        frame_size = np.array([width_px, height_px] * 2, dtype=np.float32)
        xyxy = np.hstack([centres - halves, centres + halves]) * frame_size
        return Candidates(np.asarray(xyxy, dtype=np.float32), np.asarray(scores[kept], dtype=np.float32))


class RfDetrLayout(_RawQueriesLayout):
    """RF-DETR by its own export. Pictures are RGB, normalised with ImageNet's mean and deviation.

    Networks trained on COCO keep its category numbers (person: 1); those trained on data of one's own count from 0, and
    their last column is the background. Masks of the segmenting ones are left aside.

    Paper: Robinson et al., RF-DETR, arXiv 2511.09554.
    """

    description = "RF-DETR: (N, 3, H, W) -> dets (N, Q, 4), labels (N, Q, K)"

    @classmethod
    def recognise(cls, graph: GraphShapes) -> RfDetrLayout | None:
        """See `Layout.recognise`."""
        num_classes = _num_classes(graph, scores="labels", boxes="dets")
        if graph.picture is None or num_classes is None:
            return None
        picture = StretchedPicture(*graph.picture, averages=False, mean=_MEAN_RGB, deviation=_DEVIATION_RGB)
        person = 1 if num_classes == _COCO_CATEGORIES else PERSON
        return cls(picture, graph, scores="labels", boxes="dets", person=person)


class TransformersLayout(_RawQueriesLayout):
    """RT-DETR, RT-DETRv2 and D-FINE as `transformers` holds them and `optimum` exports them. RGB from 0 to 1.

    Other detectors of `transformers` carry the same names. Those with a background class are left alone.
    """

    description = (
        "RT-DETR or D-FINE of transformers: pixel_values (N, 3, H, W) -> logits (N, Q, K), pred_boxes (N, Q, 4)"
    )

    @classmethod
    def recognise(cls, graph: GraphShapes) -> TransformersLayout | None:
        """See `Layout.recognise`."""
        num_classes = _num_classes(graph, scores="logits", boxes="pred_boxes")
        if graph.picture is None or num_classes is None or num_classes in _SOFTMAX_CLASSES:
            return None
        picture = StretchedPicture(*graph.picture, averages=True)
        return cls(picture, graph, scores="logits", boxes="pred_boxes", person=PERSON)


def _num_classes(graph: GraphShapes, *, scores: str, boxes: str) -> int | None:
    """Columns of the scores, or None where the graph has no such outputs, or leaves their size free."""
    if not {scores, boxes} <= set(graph.output_names):
        return None
    shape = graph.outputs[graph.output_names.index(scores)]
    return shape[2] if len(shape) == 3 and isinstance(shape[2], int) else None


def _check_queries(scores: AnyArray, boxes: AnyArray) -> None:
    if boxes.shape != (len(scores), 4):
        raise DetectorError(
            f"{len(scores)} queries and boxes {boxes.shape}, wanted one row of four numbers a query: "
            "the names of this graph's outputs promise another layout; export it anew"
        )
