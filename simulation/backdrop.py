"""The empty scene of one camera: floor, back wall with doors and posters, and furniture that hides who is behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from reid.types import AnyArray, BoolArray, UInt8Array
from simulation.camera import Pinhole

_FLOOR_TONES = ((150, 165, 175), (120, 132, 140), (96, 128, 160), (168, 172, 170), (104, 104, 108), (118, 140, 134))
_WALL_TONES = ((196, 206, 212), (206, 200, 190), (176, 192, 200), (188, 198, 186), (170, 172, 190))
_ACCENTS = ((84, 76, 140), (140, 106, 74), (76, 112, 84), (84, 146, 176), (80, 80, 86), (76, 92, 118))
_WALL_TOP_M = 3.6
_WALL_PIECES = ((0.0, 2.15, 1.0), (1.0, 2.3, 1.5), (1.1, 1.9, 0.7))
"""Doors and posters: lower edge, upper edge, width, in metres."""
_WALL_PIECES_LEFT_M = np.arange(-13.0, 13.0, 3.2)
_FRAME_M = 0.06
_FURNITURE = ((0.35, 3.4), (1.5, 0.85), (0.6, 1.1))
"""Pillar, bench and bin: width and height, in metres."""


class Furniture(NamedTuple):
    """A thing that stands in the way.

    Attributes:
        depth_m: Its distance, for the order of painting.
        mask: bool (H, W), True where it is.
        bounds: First row, last row + 1, first column, last column + 1 of the mask.
    """

    depth_m: float
    mask: BoolArray
    bounds: tuple[int, int, int, int]


@dataclass(frozen=True)
class Backdrop:
    """The scene without people.

    Attributes:
        image: BGR uint8 (H, W, 3), furniture included.
        furniture: What can hide people.
    """

    image: UInt8Array
    furniture: tuple[Furniture, ...]


def draw_backdrop(rng: np.random.Generator, camera: Pinhole) -> Backdrop:
    """Furnish and paint one camera's scene."""
    rays = camera.rays()
    wall_turn = camera.yaw + float(rng.uniform(-0.3, 0.3))
    wall_m = float(rng.uniform(12.0, 14.0))
    across = rays[..., 0] * math.cos(wall_turn) + rays[..., 1] * math.sin(wall_turn)
    to_wall = wall_m / np.maximum(across, 1e-3)
    looks_down = rays[..., 2] < -1e-4
    to_floor = np.where(looks_down, -camera.height_m / np.where(looks_down, rays[..., 2], -1.0), np.inf)
    floor, wall = _floor(rng, rays, to_floor), _wall(rng, rays, to_wall, wall_turn, camera.height_m)
    scene = np.where((to_floor < to_wall)[..., None], floor, wall)
    scene *= _vignette(camera)[..., None]
    scene += rng.normal(0, 2.0, scene.shape[:2])[..., None]
    image = np.clip(scene, 0, 255).astype(np.uint8)
    furniture = sorted(_furnish(rng, camera, image), key=lambda thing: -thing.depth_m)
    return Backdrop(image, tuple(furniture))


def _floor(rng: np.random.Generator, rays: AnyArray, to_floor: AnyArray) -> AnyArray:
    reach = np.minimum(to_floor, 60.0)
    turn = float(rng.uniform(0, math.pi))
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = reach * (rays[..., 0] * cos + rays[..., 1] * sin), reach * (rays[..., 1] * cos - rays[..., 0] * sin)
    tone = np.array(_FLOOR_TONES[int(rng.integers(len(_FLOOR_TONES)))], dtype=np.float64)
    size, offset = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0, 1))
    long_size = size * float(rng.choice([1.0, 1.0, 4.0]))
    column, row = np.floor(x / size + offset), np.floor(y / long_size + offset)
    # A cheap hash gives every tile its own brightness.
    speckle = np.modf(np.abs(np.sin(column * 12.9898 + row * 78.233) * 43758.5453))[0] - 0.5
    blur = np.clip(8.0 / np.maximum(reach, 1.0), 0.0, 1.0)
    joint = np.minimum(_edge(x / size + offset), _edge(y / long_size + offset) * long_size / size)
    grout = np.exp(-((joint * size / 0.02) ** 2)) * blur
    shade = (1.0 + 0.12 * speckle) * (1 - 0.22 * grout) * (1.06 - 0.012 * np.minimum(reach, 20.0))
    return np.asarray(shade[..., None] * tone)


def _edge(position: AnyArray) -> AnyArray:
    part = position - np.floor(position)
    return np.asarray(np.minimum(part, 1 - part))


def _wall(rng: np.random.Generator, rays: AnyArray, to_wall: AnyArray, turn: float, camera_up_m: float) -> AnyArray:
    reach = np.clip(to_wall, 0.0, 80.0)
    along = reach * (rays[..., 1] * math.cos(turn) - rays[..., 0] * math.sin(turn))
    up = camera_up_m + reach * rays[..., 2]
    tone = np.array(_WALL_TONES[int(rng.integers(len(_WALL_TONES)))], dtype=np.float64)
    colours = tone * (0.94 + 0.03 * np.minimum(up, _WALL_TOP_M)[..., None])
    colours[up > _WALL_TOP_M] = tone * 0.72
    for left in _WALL_PIECES_LEFT_M + rng.uniform(-0.5, 0.5, len(_WALL_PIECES_LEFT_M)):
        low, high, width = _WALL_PIECES[int(rng.integers(len(_WALL_PIECES)))]
        accent = np.array(_ACCENTS[int(rng.integers(len(_ACCENTS)))], dtype=np.float64) * rng.uniform(0.8, 1.2)
        beyond_side = np.maximum(left - along, along - left - width)
        beyond_edge = np.maximum(low - up, up - high)
        beyond = np.maximum(beyond_side, beyond_edge)
        colours[beyond < _FRAME_M] = tone * 0.55
        colours[beyond < 0] = accent
    colours[up < 0.12] = tone * 0.5
    return np.asarray(colours)


def _vignette(camera: Pinhole) -> AnyArray:
    columns = np.linspace(-1, 1, camera.width_px)[None]
    rows = np.linspace(-1, 1, camera.height_px)[:, None]
    return np.asarray(1.03 - 0.1 * (columns**2 + rows**2))


def _furnish(rng: np.random.Generator, camera: Pinhole, image: UInt8Array) -> list[Furniture]:
    """Paint pillars, benches and bins into the image, farthest first."""
    spots = sorted(float(rng.uniform(5.2, 8.8)) for _ in range(int(rng.integers(1, 3))))
    things = []
    for ahead in reversed(spots):
        width, height = _FURNITURE[int(rng.integers(len(_FURNITURE)))]
        side = 1 if rng.random() < 0.5 else -1
        right = side * float(rng.uniform(0.25, 0.5)) * ahead * camera.width_px / 2 / camera.focal_px * 1.4
        accent = np.array(_ACCENTS[int(rng.integers(len(_ACCENTS)))], dtype=np.float64)
        things.append(_paint_box(image, camera, ahead, right, width, height, accent))
    return [thing for thing in things if thing.mask.any()]


def _paint_box(
    image: UInt8Array, camera: Pinhole, ahead: float, right: float, width: float, height: float, colour: AnyArray
) -> Furniture:
    """Paint an upright box: its top and the two sides that face the camera."""
    depth = min(width, 0.6)
    corners = [
        (ahead, right - width / 2),
        (ahead, right + width / 2),
        (ahead + depth, right + width / 2),
        (ahead + depth, right - width / 2),
    ]
    ground = [camera.place(*corner) for corner in corners]
    low = camera.project(np.array([(x, y, 0.0) for x, y in ground]))[:, :2]
    high = camera.project(np.array([(x, y, height) for x, y in ground]))[:, :2]
    flank = 1 if right < 0 else 3
    beyond = (flank + 1) % 4
    faces = [
        (np.array([low[flank], low[beyond], high[beyond], high[flank]]), 0.68),
        (np.array([low[0], low[1], high[1], high[0]]), 0.9),
    ]
    if height < camera.height_m:
        faces.insert(0, (high, 1.15))
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    for face, shade in faces:
        polygon = np.rint(face * 16).astype(np.int32)
        tone = [float(level) for level in np.clip(colour * shade, 0, 255)]
        cv2.fillConvexPoly(image, polygon, tone, lineType=cv2.LINE_AA, shift=4)
        cv2.fillConvexPoly(mask, polygon, 1, shift=4)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bounds = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1) if rows.size else (0, 0, 0, 0)
    return Furniture(math.hypot(ahead + depth / 2, right), mask.astype(bool), bounds)
