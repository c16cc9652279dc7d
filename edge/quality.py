"""How good a crop is for recognising the person in it: a number in [0, 1] made of five factors, each in [0, 1].

The product is the crop's weight in the mean of its tracklet, so it orders crops of one camera; it is no probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reid.types import Box, UInt8Array

FULL_HEIGHT_PX = 128.0
"""From this height on a taller box does not count for more: half of the network's input."""
_BORDER_PX = 2.0
"""A box this near to the border of the frame is taken for cut off there."""
_CUT_FACTOR = 0.7
"""Weight lost for each border that cuts a person."""
_BEHIND_SHARE = 0.5
"""A person behind covers nothing, but shows beside the one in front: counts half."""
_HALF_SHARP = 100.0
"""Variance of the Laplacian (grey levels squared) at which a crop counts as half sharp."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The factors of one crop, each in [0, 1].

    Attributes:
        size: Height of the box over `FULL_HEIGHT_PX`, at most 1.
        completeness: Share of the box inside the frame, times 0.7 for each border that it touches.
        clearness: 1 less the share that the worst neighbour overlaps; one behind counts half. Boxes that end lower
            in the picture are nearer.
        confidence: The detector's score.
        sharpness: 0.5 for a flat crop, towards 1 with the variance of its Laplacian.
    """

    size: float
    completeness: float
    clearness: float
    confidence: float
    sharpness: float

    @property
    def value(self) -> float:
        """Product of the factors."""
        return self.size * self.completeness * self.clearness * self.confidence * self.sharpness


def rate_crops(
    crops: UInt8Array, boxes: Sequence[Box], scores: Sequence[float], *, width_px: int, height_px: int
) -> list[Quality]:
    """Rate all crops of one frame.

    Args:
        crops: uint8 (N, 256, 128, 3) BGR, as the network takes them.
        boxes: N boxes in pixels of the frame; may reach beyond its borders.
        scores: N detector scores.
        width_px: Width of the frame.
        height_px: Height of the frame.
    """
    return [
        Quality(
            size=min(1.0, max(0.0, box.height_px) / FULL_HEIGHT_PX),
            completeness=completeness(box, width_px=width_px, height_px=height_px),
            clearness=clearness(box, [other for at, other in enumerate(boxes) if at != row]),
            confidence=_unit(scores[row]),
            sharpness=sharpness(crops[row]),
        )
        for row, box in enumerate(boxes)
    ]


def completeness(box: Box, *, width_px: int, height_px: int) -> float:
    """How much of a person the frame holds, see `Quality.completeness`."""
    if not box.area_px > 0:
        return 0.0
    inside = Box(max(0.0, box.x1), max(0.0, box.y1), min(float(width_px), box.x2), min(float(height_px), box.y2))
    if inside.width_px <= 0 or inside.height_px <= 0:
        return 0.0
    cuts = (
        box.x1 <= _BORDER_PX,
        box.y1 <= _BORDER_PX,
        box.x2 >= width_px - _BORDER_PX,
        box.y2 >= height_px - _BORDER_PX,
    )
    return _unit(inside.area_px / box.area_px * _CUT_FACTOR ** sum(cuts))


def clearness(box: Box, others: Sequence[Box]) -> float:
    """How free a person stands from the others of the frame, see `Quality.clearness`."""
    worst = 0.0
    for other in others:
        width = min(box.x2, other.x2) - max(box.x1, other.x1)
        height = min(box.y2, other.y2) - max(box.y1, other.y1)
        if width <= 0 or height <= 0 or not box.area_px > 0:
            continue
        share = width * height / box.area_px
        worst = max(worst, share if other.y2 >= box.y2 else share * _BEHIND_SHARE)
    return _unit(1.0 - worst)


def sharpness(crop: UInt8Array) -> float:
    """How sharp a crop is, see `Quality.sharpness`; about 30 us for network input."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(crop[:, :, 1], cv2.CV_16S))
    variance = float(deviation[0, 0]) ** 2
    return 0.5 + 0.5 * variance / (variance + _HALF_SHARP)


def _unit(value: float) -> float:
    """Cut to [0, 1]; NaN counts as 0."""
    return float(min(1.0, max(0.0, value))) if np.isfinite(value) else 0.0
