"""A pinhole camera above a floor.

World coordinates are metres: x and y on the floor, z up. Angles are radians, counter-clockwise seen from above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reid.types import AnyArray

NEAREST_M = 0.3
"""Points nearer to the image plane than this are projected as if they were this far."""


@dataclass(frozen=True)
class Pinhole:
    """Where a camera hangs and what it sees.

    Attributes:
        x_m: Position on the floor.
        y_m: Position on the floor.
        height_m: Height above the floor.
        yaw: Direction of view on the floor, radians.
        tilt: Downwards, radians.
        focal_px: Focal length.
        width_px: Width of the picture.
        height_px: Height of the picture.
    """

    x_m: float
    y_m: float
    height_m: float
    yaw: float
    tilt: float
    focal_px: float
    width_px: int
    height_px: int

    @cached_property
    def axes(self) -> AnyArray:
        """(3, 3): unit vectors right, down and forward, one a row."""
        forward = np.array(
            [math.cos(self.tilt) * math.cos(self.yaw), math.cos(self.tilt) * math.sin(self.yaw), -math.sin(self.tilt)]
        )
        right = np.array([math.sin(self.yaw), -math.cos(self.yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def position(self) -> AnyArray:
        """(3,) metres."""
        return np.array([self.x_m, self.y_m, self.height_m])

    def project(self, points_N3: AnyArray) -> AnyArray:
        """Project points of the world.

        Args:
            points_N3: (N, 3) metres.

        Returns:
            (N, 3): pixel column, pixel row, and distance along the view in metres, at least `NEAREST_M`.
        """
        local = (points_N3 - self.position) @ self.axes.T
        depth = np.maximum(local[:, 2], NEAREST_M)
        scale = self.focal_px / depth
        columns = self.width_px / 2 + local[:, 0] * scale
        rows = self.height_px / 2 + local[:, 1] * scale
        return np.stack([columns, rows, depth], axis=1)

    def rays(self) -> AnyArray:
        """(H, W, 3): direction of view of every pixel's centre, in the world, with length 1 along the optical axis."""
        columns = (np.arange(self.width_px) + 0.5 - self.width_px / 2) / self.focal_px
        rows = (np.arange(self.height_px) + 0.5 - self.height_px / 2) / self.focal_px
        right, down, forward = self.axes
        return np.asarray(columns[None, :, None] * right + rows[:, None, None] * down + forward)

    def place(self, ahead_m: float, right_m: float) -> tuple[float, float]:
        """World x and y of a spot on the floor given from the camera's foot: metres ahead and to the right."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return self.x_m + ahead_m * cos + right_m * sin, self.y_m + ahead_m * sin - right_m * cos
