from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reid.box_arrays import areas, clip, iou_matrix, suppress
from reid.types import Box

UNIT = np.array([[0, 0, 10, 10]], np.float32)


def boxes(count: int) -> st.SearchStrategy[np.ndarray]:
    corners = arrays(np.float32, (count, 4), elements=st.floats(0, 1000, width=32))
    return corners.map(lambda c: np.hstack([np.minimum(c[:, :2], c[:, 2:]), np.maximum(c[:, :2], c[:, 2:]) + 1]))


def test_overlap_by_hand() -> None:
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [50, 50, 60, 60]], np.float32)
    np.testing.assert_allclose(iou_matrix(UNIT, others), [[1, 50 / 150, 0, 0]], rtol=1e-6)


@given(boxes(4))
def test_overlap_equals_that_of_single_boxes(xyxy: np.ndarray) -> None:
    singles = [[Box(*map(float, a)).iou(Box(*map(float, b))) for b in xyxy] for a in xyxy]
    np.testing.assert_allclose(iou_matrix(xyxy, xyxy), singles, atol=1e-4)


def test_degenerate_boxes_overlap_nothing() -> None:
    point = np.array([[3, 3, 3, 3], [5, 5, 2, 2]], np.float32)
    assert areas(point).tolist() == [0, 0]
    assert iou_matrix(point, UNIT).max() == 0


def test_suppression_keeps_the_best_of_overlapping_boxes_in_order_of_score() -> None:
    xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]], np.float32)
    kept = suppress(xyxy, np.array([0.6, 0.7, 0.9], np.float32), iou_threshold=0.5, most=10)
    assert kept.tolist() == [2, 1]


def test_a_suppressed_box_suppresses_nothing() -> None:
    xyxy = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    kept = suppress(xyxy, np.array([0.9, 0.8, 0.7], np.float32), iou_threshold=0.3, most=10)
    assert kept.tolist() == [0, 2]


def test_suppression_looks_at_no_more_than_the_best() -> None:
    xyxy = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(9)], np.float32)
    kept = suppress(xyxy, np.linspace(0.1, 0.9, 9, dtype=np.float32), iou_threshold=0.5, most=3)
    assert kept.tolist() == [8, 7, 6]


@given(boxes(8), arrays(np.float32, 8, elements=st.floats(0, 1, width=32)))
def test_what_suppression_leaves_does_not_overlap(xyxy: np.ndarray, scores: np.ndarray) -> None:
    kept = suppress(xyxy, scores, iou_threshold=0.5, most=100)
    overlaps = iou_matrix(xyxy[kept], xyxy[kept])
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() <= 0.5


def test_clipping_cuts_at_the_frame_and_marks_what_is_outside() -> None:
    xyxy = np.array([[-5, -5, 50, 50], [90, 10, 130, 20], [200, 0, 220, 10]], np.float32)
    clipped, inside = clip(xyxy, width_px=100, height_px=40)
    assert clipped[:2].tolist() == [[0, 0, 50, 40], [90, 10, 100, 20]]
    assert inside.tolist() == [True, True, False]
