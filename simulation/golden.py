"""Golden crops: rendered people that every engine of a release must embed as the manifest says.

They are drawn by the simulated site, so that a release carries no picture of a real person.
"""

from __future__ import annotations

import math

import numpy as np

from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.types import UInt8Array
from simulation.camera import Pinhole
from simulation.figure import Light, figure_of, paint_figure
from simulation.looks import draw_looks
from simulation.skeleton import Pose

_SEED = 20
_DISTANCE_M = 5.0


def golden_crops(count: int = 8) -> UInt8Array:
    """Render crops of different people, turned different ways; the same at every call.

    Args:
        count: Number of people, at least 1.

    Returns:
        uint8 (count, 256, 128, 3) BGR.
    """
    rng = np.random.default_rng(_SEED)
    looks = draw_looks(rng, count, difficulty="easy")
    crops = np.empty((count, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3), dtype=np.uint8)
    focal_px = INPUT_HEIGHT_PX * _DISTANCE_M / 2.05
    camera = Pinhole(0.0, 0.0, 1.6, 0.0, 0.13, focal_px, INPUT_WIDTH_PX, INPUT_HEIGHT_PX)
    for row, look in enumerate(looks):
        crops[row] = _backdrop(rng)
        heading = math.pi + row * 2 * math.pi / count
        pose = Pose(x_m=_DISTANCE_M, y_m=0.0, heading=heading, phase=float(rng.uniform(0, 6.28)), stride=1.0)
        paint_figure(crops[row], figure_of(look, pose, camera), Light())
    return crops


def _backdrop(rng: np.random.Generator) -> UInt8Array:
    """A wall above a floor, with grain."""
    wall, floor = rng.uniform(90, 200) + rng.normal(0, 9, 3), rng.uniform(60, 160) + rng.normal(0, 9, 3)
    is_floor = np.arange(INPUT_HEIGHT_PX)[:, None, None] > INPUT_HEIGHT_PX * rng.uniform(0.55, 0.75)
    grain = rng.normal(0, 5, (INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 1))
    return np.clip(np.where(is_floor, floor, wall) + grain, 0, 255).astype(np.uint8)
