"""How much of each person a camera sees: silhouettes at a quarter of the resolution, nearest first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from reid.types import BoolArray, UInt8Array
from simulation.backdrop import Furniture
from simulation.figure import Figure

_SHRINK = 4


class Visibility:
    """Counts visible shares in one camera.

    Args:
        furniture: What can hide people.
        width_px: Of the frame.
        height_px: Of the frame.
    """

    def __init__(self, furniture: Sequence[Furniture], *, width_px: int, height_px: int) -> None:
        self._width, self._height = math.ceil(width_px / _SHRINK), math.ceil(height_px / _SHRINK)
        self._furniture = [(thing.depth_m, _shrunk(thing.mask, self._width, self._height)) for thing in furniture]

    def fractions(self, figures: Sequence[Figure]) -> list[float]:
        """Share of each figure that is inside the frame and hidden by nothing, in [0, 1], in the order given."""
        fractions = [0.0] * len(figures)
        taken = np.zeros((self._height, self._width), dtype=bool)
        for number in sorted(range(len(figures)), key=lambda n: figures[n].depth_m):
            padded = self._silhouette(figures[number])
            inside = padded[self._height : 2 * self._height, self._width : 2 * self._width].astype(bool)
            hidden = taken.copy()
            for depth_m, mask in self._furniture:
                if depth_m < figures[number].depth_m:
                    hidden |= mask
            total = cv2.countNonZero(padded)
            fractions[number] = int(np.count_nonzero(inside & ~hidden)) / total if total else 0.0
            taken |= inside
        return fractions

    def _silhouette(self, figure: Figure) -> UInt8Array:
        """uint8 (3 H, 3 W): the figure's shape, with the frame in the middle."""
        canvas = np.zeros((3 * self._height, 3 * self._width), dtype=np.uint8)
        for outline in figure.outlines:
            start = _point(outline.start, self._width, self._height)
            end = _point(outline.end, self._width, self._height)
            thickness = max(1, round(1.7 * float(outline.radii_px.mean()) / _SHRINK))
            cv2.line(canvas, start, end, 1, thickness)
        return canvas


def _point(place: tuple[float, float], width: int, height: int) -> tuple[int, int]:
    return round(place[0] / _SHRINK) + width, round(place[1] / _SHRINK) + height


def _shrunk(mask: BoolArray, width: int, height: int) -> BoolArray:
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(small.astype(bool))
