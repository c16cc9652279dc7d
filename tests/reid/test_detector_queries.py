from __future__ import annotations

import numpy as np
import pytest

from reid.detector_graph import GraphShapes, Layout, Shape
from reid.detector_queries import DecodedQueriesLayout, RfDetrLayout, StretchedPicture, TransformersLayout
from reid.errors import DetectorError

PICTURE: Shape = (1, 3, 32, 64)
RT_DETR = GraphShapes(
    (PICTURE, (1, 2)), ((1, 5), (1, 5, 4), (1, 5)), ("images", "orig_target_sizes"), ("labels", "boxes", "scores")
)
FRAME = {"width_px": 200, "height_px": 100, "min_score": 0.3}


def rf_detr(num_classes: int) -> Layout:
    shapes: tuple[Shape, ...] = ((1, 5, 4), (1, 5, num_classes))
    layout = RfDetrLayout.recognise(GraphShapes((PICTURE,), shapes, ("input",), ("dets", "labels")))
    assert layout is not None
    return layout


def transformers() -> Layout:
    shapes: tuple[Shape, ...] = ((1, 5, 80), (1, 5, 4))
    layout = TransformersLayout.recognise(GraphShapes((PICTURE,), shapes, ("pixel_values",), ("logits", "pred_boxes")))
    assert layout is not None
    return layout


def rt_detr(graph: GraphShapes = RT_DETR) -> Layout:
    layout = DecodedQueriesLayout.recognise(graph)
    assert layout is not None
    return layout


def raw_outputs(num_classes: int, *, person: int) -> tuple[np.ndarray, np.ndarray]:
    """Query 3 is a person of score .75, query 1 a weak one, query 0 something else: boxes and logits."""
    logits = np.full((1, 5, num_classes), -9.0, np.float32)
    logits[0, 3, person], logits[0, 1, person], logits[0, 0, person + 2] = np.log(3.0), -2.0, 9.0
    boxes = np.zeros((1, 5, 4), np.float32)
    boxes[0, 3] = 0.5, 0.25, 0.2, 0.5
    return boxes, logits


def test_a_picture_is_stretched_over_the_whole_input_as_rgb() -> None:
    frame = np.zeros((100, 50, 3), np.uint8)
    frame[:50], frame[50:] = (255, 0, 51), (0, 102, 0)
    pixels = StretchedPicture(32, 64, averages=True).place(frame)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 32, 64), np.float32)
    np.testing.assert_allclose(pixels[0, :, 0, 63], [0.2, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(pixels[0, :, 31, 0], [0.0, 0.4, 0.0], atol=1e-6)


def test_a_shrunk_picture_is_averaged_only_where_the_network_learnt_it_so() -> None:
    stripes = np.zeros((64, 576, 3), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_allclose(np.ptp(rt_detr().prepare(stripes)[0]), 200 / 9 / 255, atol=1 / 255)
    assert np.ptp(rf_detr(91).prepare(stripes)[0]) > 0.7


def test_only_rf_detr_is_normalised() -> None:
    frame = np.full((32, 64, 3), 255, np.uint8)
    (rf_pixels,) = rf_detr(91).prepare(frame)
    (plain_pixels,) = transformers().prepare(frame)
    np.testing.assert_allclose(rf_pixels[0, :, 0, 0], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rtol=1e-5)
    np.testing.assert_allclose(plain_pixels[0, :, 0, 0], 1.0)


@pytest.mark.parametrize(
    ("num_classes", "person"), [(91, 1), (2, 0), (4, 0)], ids=["coco", "own-person", "own-of-three"]
)
def test_rf_detr_box_by_hand(num_classes: int, person: int) -> None:
    boxes, logits = raw_outputs(max(num_classes, person + 3), person=person)
    found = rf_detr(num_classes).decode([boxes, logits[..., :num_classes]], **FRAME)
    np.testing.assert_allclose(found.xyxy, [[80, 0, 120, 50]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.75], rtol=1e-6)


def test_transformers_box_by_hand() -> None:
    boxes, logits = raw_outputs(80, person=0)
    found = transformers().decode([logits, boxes], **FRAME)
    np.testing.assert_allclose(found.xyxy, [[80, 0, 120, 50]], atol=1e-4)
    assert found.scores.dtype == np.float32


def test_rt_detr_is_fed_the_width_before_the_height() -> None:
    pixels, size = rt_detr().prepare(np.zeros((100, 200, 3), np.uint8))
    assert pixels.shape == PICTURE
    assert (size.tolist(), size.dtype) == ([[200, 100]], np.int64)


def test_inputs_are_fed_in_the_order_of_the_graph() -> None:
    turned = GraphShapes(RT_DETR.inputs[::-1], RT_DETR.outputs, RT_DETR.input_names[::-1], RT_DETR.output_names)
    size, pixels = rt_detr(turned).prepare(np.zeros((100, 200, 3), np.uint8))
    assert (size.shape, pixels.shape) == ((1, 2), PICTURE)


def test_rt_detr_reports_persons_only_and_only_strong_ones() -> None:
    labels, scores = np.array([[0, 2, 0, 0, 1]]), np.array([[0.9, 0.8, 0.4, 0.2, 0.9]], np.float32)
    boxes = np.arange(20, dtype=np.float32).reshape(1, 5, 4)
    found = rt_detr().decode([labels, boxes, scores], **FRAME)
    assert found.xyxy.tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    np.testing.assert_allclose(found.scores, [0.9, 0.4])


def test_scores_that_are_not_finite_are_an_error() -> None:
    boxes, logits = raw_outputs(80, person=0)
    logits[0, 2, 0] = np.nan
    with pytest.raises(DetectorError, match="not finite"):
        transformers().decode([logits, boxes], **FRAME)


def test_boxes_that_do_not_fit_the_queries_are_an_error() -> None:
    boxes, logits = raw_outputs(80, person=0)
    with pytest.raises(DetectorError, match=r"5 queries and boxes \(3, 4\), wanted one row"):
        transformers().decode([logits, boxes[:, :3]], **FRAME)


def test_no_queries_no_persons() -> None:
    empty = np.zeros((1, 0, 4), np.float32)
    assert rt_detr().decode([np.zeros((1, 0)), empty, np.zeros((1, 0))], **FRAME).xyxy.shape == (0, 4)
