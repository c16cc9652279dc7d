"""Arithmetic on many boxes at once: overlap, non-maximum suppression, clipping.

Boxes are float32 (N, 4) `xyxy` in pixels; M and N count boxes.
"""

from __future__ import annotations

import numpy as np

from reid.types import BoolArray, FloatArray, IntArray


def areas(xyxy: FloatArray) -> FloatArray:
    """Areas of boxes, (N,); 0 where a box is degenerate."""
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def iou_matrix(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """Intersection over union of every box with every other.

    Args:
        first_xyxy: (M, 4).
        second_xyxy: (N, 4).

    Returns:
        (M, N) float32 in [0, 1]; 0 for degenerate boxes.
    """
    corner_low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    corner_high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    sides = np.maximum(corner_high - corner_low, 0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas(first_xyxy)[:, None] + areas(second_xyxy)[None, :] - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def suppress(xyxy: FloatArray, scores: FloatArray, *, iou_threshold: float, most: int) -> IntArray:
    """Greedy non-maximum suppression: a box falls when a better one that stays overlaps it by more than the threshold.

    Args:
        xyxy: (N, 4).
        scores: (N,), finite.
        iou_threshold: Overlap that two different persons may have, in [0, 1].
        most: Only this many best boxes take part; bounds the time that a bad frame can cost.

    Returns:
        Rows that stay, best score first.
    """
    order = np.argsort(-scores, kind="stable")[:most]
    overlaps = iou_matrix(xyxy[order], xyxy[order]) > iou_threshold
    alive = np.ones(len(order), dtype=np.bool_)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~overlaps[row, row + 1 :]
    return np.asarray(order[alive], dtype=np.int64)


def clip(xyxy: FloatArray, *, width_px: int, height_px: int) -> tuple[FloatArray, BoolArray]:
    """Cut boxes to a frame.

    Returns:
        The cut boxes (N, 4), and which of them have an area left (N,).
    """
    limits = np.array([width_px, height_px, width_px, height_px], dtype=np.float32)
    clipped = np.asarray(np.clip(xyxy, 0.0, limits), dtype=np.float32)
    return clipped, np.asarray(areas(clipped) > 0.0)
