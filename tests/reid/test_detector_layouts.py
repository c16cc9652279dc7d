from __future__ import annotations

import numpy as np
import pytest

from reid.detector_graph import GraphShapes, Shape
from reid.detector_grids import NanodetLayout, YoloxLayout
from reid.detector_layouts import recognise_layout
from reid.detector_queries import DecodedQueriesLayout, RfDetrLayout, TransformersLayout
from reid.errors import DetectorError

PICTURE: Shape = (1, 3, 32, 64)
YOLOX = GraphShapes((PICTURE,), ((1, 42, 85),), ("images",), ("output",))
NANODET = GraphShapes((PICTURE,), tuple((1, cells, width) for width in (80, 32) for cells in (32, 8, 2)))
BOXES: Shape = (1, 300, 4)
RT_DETR = GraphShapes(
    (PICTURE, ("N", 2)),
    ((None, 300), (None, 300, 4), (None, 300)),
    ("images", "orig_target_sizes"),
    ("labels", "boxes", "scores"),
)


def queries(names: tuple[str, str], num_classes: int | str, *, picture: Shape = PICTURE) -> GraphShapes:
    """A graph that answers with boxes and scores, in this order."""
    return GraphShapes((picture,), (BOXES, (1, 300, num_classes)), ("input",), names)


RF_DETR = ("dets", "labels")
TRANSFORMERS = ("pred_boxes", "logits")


@pytest.mark.parametrize(
    ("graph", "kind"),
    [
        (YOLOX, YoloxLayout),
        (GraphShapes((("batch", 3, 32, 64),), (("batch", 42, 6),)), YoloxLayout),
        (NANODET, NanodetLayout),
        (RT_DETR, DecodedQueriesLayout),
        (queries(RF_DETR, 91), RfDetrLayout),
        (queries(RF_DETR, 4), RfDetrLayout),
        (queries(TRANSFORMERS, 80), TransformersLayout),
    ],
    ids=["yolox-coco", "yolox-one-class-free-batch", "nanodet", "rt-detr", "rf-detr", "rf-detr-square", "transformers"],
)
def test_layouts_are_recognised_by_shape_and_name(graph: GraphShapes, kind: type) -> None:
    assert isinstance(recognise_layout(graph, name="m.onnx"), kind)


@pytest.mark.parametrize(
    "graph",
    [
        GraphShapes((PICTURE,), ((1, 41, 85),)),
        GraphShapes((PICTURE,), ((1, 42, 5),)),
        GraphShapes((PICTURE,), ((1, 1000),)),
        GraphShapes((PICTURE, PICTURE), ((1, 42, 85),)),
        GraphShapes(((1, 3, "h", "w"),), ((1, 42, 85),)),
        GraphShapes(((1, 1, 32, 64),), ((1, 42, 85),)),
        GraphShapes((PICTURE,), (*NANODET.outputs[:5], (1, 2, 80))),
        GraphShapes((PICTURE,), NANODET.outputs[::-1]),
        GraphShapes((PICTURE,), RT_DETR.outputs, ("images",), RT_DETR.output_names),
        GraphShapes(((1, 3, "h", "w"), (1, 2)), RT_DETR.outputs, RT_DETR.input_names, RT_DETR.output_names),
        queries(("boxes", "confidence"), 91),
        queries(RF_DETR, "classes"),
        queries(TRANSFORMERS, 92),
        queries(TRANSFORMERS, 80, picture=(1, 3, "height", "width")),
    ],
    ids=[
        "rows",
        "columns",
        "classifier",
        "two-inputs",
        "free-size",
        "grey",
        "distances",
        "order",
        "rt-detr-without-size",
        "rt-detr-of-free-size",
        "names",
        "rf-detr-of-free-classes",
        "yolos",
        "transformers-of-free-size",
    ],
)
def test_an_unknown_layout_is_refused_with_the_known_ones_and_what_came(graph: GraphShapes) -> None:
    with pytest.raises(
        DetectorError, match=r"m\.onnx .* known, .*YOLOX.*NanoDet.*D-FINE.*RF-DETR.*docs/detectors"
    ) as refused:
        recognise_layout(graph, name="m.onnx")
    assert str(graph) in str(refused.value)


def test_a_graph_is_shown_with_its_names() -> None:
    assert str(YOLOX) == "images (1, 3, 32, 64) -> output (1, 42, 85)"


def test_equal_shapes_of_boxes_and_scores_are_told_apart_by_name() -> None:
    scores_first = GraphShapes((PICTURE,), (BOXES, BOXES), ("input",), ("labels", "dets"))
    logits = np.full((1, 300, 4), -9.0, np.float32)
    logits[0, 7, 0] = 3.0
    boxes = np.full((1, 300, 4), 0.5, np.float32)
    found = recognise_layout(scores_first, name="m.onnx").decode(
        [logits, boxes], width_px=64, height_px=32, min_score=0.5
    )
    np.testing.assert_allclose(found.xyxy, [[16, 8, 48, 24]])
