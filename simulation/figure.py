"""Paints a person into a frame: projected parts, shaded as rounded solids, anti-aliased, far ones first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reid.types import AnyArray, Box, FloatArray, UInt8Array
from simulation.camera import Pinhole
from simulation.fabric import colours_of, fold_shading
from simulation.looks import Look
from simulation.skeleton import Part, Pose, body_parts

_SHADOW_M = 0.32


@dataclass(frozen=True, kw_only=True)
class Light:
    """Light as a camera sees it.

    Attributes:
        right: Direction it comes from, share to the right of the picture.
        up: Share from above.
        ambient: Brightness of a surface turned away from it.
    """

    right: float = -0.35
    up: float = 0.45
    ambient: float = 0.58


@dataclass(frozen=True)
class Outline:
    """One part on the image plane.

    Attributes:
        part: The part.
        start: Column and row of the axis' start, pixels.
        end: Column and row of its end.
        radii_px: Half widths along it.
        depth_m: Distance for the painting order.
        turn: Azimuth of the part's surface that faces the camera, radians.
    """

    part: Part
    start: tuple[float, float]
    end: tuple[float, float]
    radii_px: AnyArray
    depth_m: float
    turn: float


@dataclass(frozen=True)
class Figure:
    """A person as one camera sees it, ready to be painted.

    Attributes:
        outlines: Parts, farthest first.
        box: Bounds of all parts, not cut to the frame.
        depth_m: Distance of the person, along the floor.
        foot: Column and row where the person stands, pixels.
    """

    outlines: tuple[Outline, ...]
    box: Box
    depth_m: float
    foot: tuple[float, float]


def figure_of(look: Look, pose: Pose, camera: Pinhole) -> Figure:
    """Project a person into a camera."""
    parts = body_parts(look, pose)
    points = camera.project(np.array([point for part in parts for point in (part.start, part.end)]))
    foot = camera.project(np.array([[pose.x_m, pose.y_m, 0.0]]))[0]
    to_camera = math.atan2(camera.y_m - pose.y_m, camera.x_m - pose.x_m)
    turn = (to_camera - pose.heading + math.pi) % (2 * math.pi) - math.pi
    outlines = [_outline(part, points[2 * n], points[2 * n + 1], turn, camera) for n, part in enumerate(parts)]
    outlines.sort(key=lambda outline: -outline.depth_m)
    depth_m = math.hypot(camera.x_m - pose.x_m, camera.y_m - pose.y_m)
    return Figure(
        tuple(outlines),
        _bounds(outlines),
        depth_m,
        (float(foot[0]), float(foot[1])),
    )


def paint_figure(image: UInt8Array, figure: Figure, light: Light) -> None:
    """Paint a person into a BGR uint8 (H, W, 3) frame, in place; what lies outside is cut off."""
    height, width = image.shape[:2]
    x1, y1 = max(0, math.floor(figure.box.x1) - 1), max(0, math.floor(figure.box.y1) - 1)
    x2, y2 = min(width, math.ceil(figure.box.x2) + 1), min(height, math.ceil(figure.box.y2) + 1)
    if x1 >= x2 or y1 >= y2:
        return
    canvas = image[y1:y2, x1:x2].astype(np.float32)
    for outline in figure.outlines:
        _paint_part(canvas, outline, light, left=x1, top=y1)
    image[y1:y2, x1:x2] = np.clip(canvas, 0, 255).astype(np.uint8)


def paint_shadow(image: UInt8Array, figure: Figure, camera: Pinhole) -> None:
    """Darken the floor around a person's feet in a BGR uint8 (H, W, 3) frame, in place."""
    column, row = figure.foot
    wide = camera.focal_px / max(figure.depth_m, 0.5) * _SHADOW_M
    high = wide * camera.height_m / math.hypot(figure.depth_m, camera.height_m)
    x1, y1 = max(0, math.floor(column - 2 * wide)), max(0, math.floor(row - 2 * high))
    x2, y2 = min(image.shape[1], math.ceil(column + 2 * wide)), min(image.shape[0], math.ceil(row + 2 * high))
    if x1 >= x2 or y1 >= y2:
        return
    across = ((np.arange(x1, x2, dtype=np.float32) - column) / wide) ** 2
    down = ((np.arange(y1, y2, dtype=np.float32) - row) / high) ** 2
    shade = 1 - 0.42 * np.exp(-1.6 * (across[None] + down[:, None]))
    image[y1:y2, x1:x2] = (image[y1:y2, x1:x2] * shade[..., None]).astype(np.uint8)


def _outline(part: Part, start: AnyArray, end: AnyArray, turn: float, camera: Pinhole) -> Outline:
    depth = float(start[2] + end[2]) / 2
    seen = math.hypot(math.cos(turn), part.flat * math.sin(turn))
    radii_px = np.asarray(part.radii_m, dtype=np.float32) * np.float32(seen * camera.focal_px / depth)
    return Outline(
        part, (float(start[0]), float(start[1])), (float(end[0]), float(end[1])), radii_px, depth - part.lift_m, turn
    )


def _bounds(outlines: list[Outline]) -> Box:
    """The box around both ends of every part."""
    ends = [
        (*place, float(outline.radii_px.max()), float(radius_px) / outline.part.cap)
        for outline in outlines
        for place, radius_px in ((outline.start, outline.radii_px[0]), (outline.end, outline.radii_px[-1]))
    ]
    return Box(
        min(column - wide for column, _, wide, _ in ends),
        min(row - high for _, row, _, high in ends),
        max(column + wide for column, _, wide, _ in ends),
        max(row + high for _, row, _, high in ends),
    )


def _paint_part(canvas: FloatArray, outline: Outline, light: Light, *, left: int, top: int) -> None:
    region = _region(canvas, outline, left, top)
    if region is None:
        return
    rows, columns = region
    (ax, ay), (bx, by) = outline.start, outline.end
    length = max(math.hypot(bx - ax, by - ay), 0.5)
    dx, dy = (bx - ax) / length, (by - ay) / length
    xs = np.arange(columns.start, columns.stop, dtype=np.float32)[None] + np.float32(left + 0.5 - ax)
    ys = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(top + 0.5 - ay)
    down = xs * np.float32(dx) + ys * np.float32(dy)
    across = ys * np.float32(dx) - xs * np.float32(dy)
    along = np.clip(down / np.float32(length), 0, 1)
    radius = _radius_at(along, outline.radii_px)
    beyond = (down - along * np.float32(length)) * np.float32(outline.part.cap)
    cover = np.clip(radius - np.sqrt(across * across + beyond * beyond) + np.float32(0.5), 0, 1)
    # `across` grows to the right of an axis that points up on the picture, and to the left of one that points down.
    side = np.clip(across / np.maximum(radius, 0.5), -1, 1)
    out = np.sqrt(1 - side * side)
    lit = light.right * -dy * side - light.up * dx * side + 0.85 * out
    shade = np.float32(light.ambient) + np.float32(1.1 - light.ambient) * np.maximum(lit, 0)
    azimuth = _wrapped(outline.turn + np.arcsin(side) * np.float32(-1 if dy > 0 else 1))
    reach = _full_reach(down, length, outline)
    fabric = outline.part.fabric
    shade = shade * fold_shading(fabric, azimuth, reach)
    colours = colours_of(fabric, azimuth, reach) * shade[..., None]
    patch = canvas[rows, columns]
    patch += cover[..., None] * (colours - patch)


def _region(canvas: FloatArray, outline: Outline, left: int, top: int) -> tuple[slice, slice] | None:
    """Rows and columns of the canvas that the part can touch."""
    reach = float(outline.radii_px.max()) + 1.0
    (ax, ay), (bx, by) = outline.start, outline.end
    c1, c2 = math.floor(min(ax, bx) - reach) - left, math.ceil(max(ax, bx) + reach) - left
    r1, r2 = math.floor(min(ay, by) - reach) - top, math.ceil(max(ay, by) + reach) - top
    c1, r1 = max(0, c1), max(0, r1)
    c2, r2 = min(canvas.shape[1], c2), min(canvas.shape[0], r2)
    return (slice(r1, r2), slice(c1, c2)) if c1 < c2 and r1 < r2 else None


def _radius_at(along: AnyArray, radii_px: AnyArray) -> AnyArray:
    if len(radii_px) == 2:
        return np.asarray(radii_px[0] + along * (radii_px[1] - radii_px[0]))
    position = along * np.float32(len(radii_px) - 1)
    below = np.minimum(position.astype(np.intp), len(radii_px) - 2)
    return np.asarray(radii_px[below] + (position - below) * np.diff(radii_px)[below])


def _full_reach(down: AnyArray, length: float, outline: Outline) -> FloatArray:
    """Position along the part, caps included, in [0, 1]."""
    before, after = outline.radii_px[0] / outline.part.cap, outline.radii_px[-1] / outline.part.cap
    return np.asarray(np.clip((down + before) / (length + before + after), 0, 1), dtype=np.float32)


def _wrapped(angle: AnyArray) -> FloatArray:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi, dtype=np.float32)
