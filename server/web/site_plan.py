"""The map of the site as a picture: cameras where they hang, and the ways between them as arrows. Pure.

All is in units of the picture, `WIDTH` wide; its height follows the plan.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.matching.passages import Passage
from server.site_map import MapView
from server.storage.sightings import CameraActivity
from server.types import Camera

WIDTH = 1000.0
_HEIGHT = 560.0
"""Without a plan."""
_MOST_ARROWS = 40
_LEAST_SHARE = 0.1
"""Of those who leave a camera; rarer ways stand in the table alone, so that the map can be read."""
_THINNEST, _THICKEST = 1.5, 8.0
_RADIUS = 15.0
_LABEL_AT = 0.36
"""Place of a label on its arrow: 0 at the start, 1 at the end."""
_BEND = 0.14
"""How far an arrow bends away from the straight line, as a share of its length: there and back do not meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A camera on the map.

    Attributes:
        camera: Its names.
        label: Its camid, with the edge where two edges use the same.
        x: From the left; so is y from the top.
        num_in_view: People that it sees now.
    """

    camera: Camera
    label: str
    x: float
    y: float
    num_in_view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A way between two cameras.

    Attributes:
        path: SVG path data.
        width: Of the line; more for ways taken more often.
        label: The usual time.
        label_x: Where the middle of the label is; so is label_y.
        title: All of it in words.
    """

    path: str
    width: float
    label: str
    label_x: float
    label_y: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The map, ready to be drawn."""

    height: float
    plan_file: str
    markers: tuple[Marker, ...]
    arrows: tuple[Arrow, ...]


def labels_of(cameras: Iterable[Camera]) -> dict[Camera, str]:
    """Short names of cameras, each only once: the camid, with its edge where the camid alone is not enough."""
    cameras = list(cameras)
    uses = Counter(camera.camid for camera in cameras)
    return {camera: camera.camid if uses[camera.camid] == 1 else "/".join(camera) for camera in cameras}


def draw_map(
    view: MapView, activity: Sequence[CameraActivity], ways: Sequence[Passage], cameras: Mapping[int, Camera]
) -> Picture:
    """Draw the map.

    Args:
        view: The plan and the places.
        activity: Of cameras; one that has a place and none of these is shown without people.
        ways: Those taken most often first; rare ones, and those between cameras without a place, are left out.
        cameras: Names by the keys that `ways` use.
    """
    height = WIDTH * view.plan.height_px / view.plan.width_px if view.plan else _HEIGHT
    seen = {each.camera: each.num_in_view for each in activity}
    labels = labels_of({*view.places, *seen})
    markers = tuple(
        Marker(
            camera=camera,
            label=labels[camera],
            x=round(place.x * WIDTH, 1),
            y=round(place.y * height, 1),
            num_in_view=seen.get(camera, 0),
        )
        for camera, place in sorted(view.places.items())
    )
    at = {marker.camera: marker for marker in markers}
    drawn = [way for way in ways if way.share >= _LEAST_SHARE and _placed(way, cameras, at)][:_MOST_ARROWS]
    most = max((way.num_passages for way in drawn), default=1)
    return Picture(
        height=round(height, 1),
        plan_file=view.plan.file if view.plan else "",
        markers=markers,
        arrows=tuple(_arrow(way, at[cameras[way.from_camera]], at[cameras[way.to_camera]], most) for way in drawn),
    )


def usual_time(seconds: float) -> str:
    """A time between cameras, in one or two numbers: 34 s, 5 min 10 s, 1 h 20 min."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _placed(way: Passage, cameras: Mapping[int, Camera], at: Mapping[Camera, Marker]) -> bool:
    """True if both ends are on the map, and not in one place."""
    one, other = at.get(cameras[way.from_camera]), at.get(cameras[way.to_camera])
    return one is not None and other is not None and math.dist((one.x, one.y), (other.x, other.y)) > 2 * _RADIUS


def _arrow(way: Passage, one: Marker, other: Marker, most: int) -> Arrow:
    length = math.dist((one.x, one.y), (other.x, other.y))
    ahead = (other.x - one.x) / length, (other.y - one.y) / length
    aside = -ahead[1], ahead[0]
    bend = _BEND * length
    middle = (one.x + other.x) / 2 + aside[0] * bend, (one.y + other.y) / 2 + aside[1] * bend
    start = _towards((one.x, one.y), middle)
    end = _towards((other.x, other.y), middle)
    usual = usual_time(way.quartiles_s[1])
    return Arrow(
        path=f"M{start[0]:.1f} {start[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {end[0]:.1f} {end[1]:.1f}",
        width=round(_THINNEST + (_THICKEST - _THINNEST) * math.sqrt(way.num_passages / most), 1),
        label=usual,
        label_x=round(_on_curve(start[0], middle[0], end[0]), 1),
        label_y=round(_on_curve(start[1], middle[1], end[1]), 1),
        title=f"{one.label} to {other.label}: {way.num_passages} times, usually {usual}",
    )


def _on_curve(start: float, middle: float, end: float) -> float:
    """Where a label goes, in one of two directions: nearer to the start, since most curves cross at their middles."""
    left = 1.0 - _LABEL_AT
    return left * left * start + 2 * left * _LABEL_AT * middle + _LABEL_AT * _LABEL_AT * end


def _towards(point: tuple[float, float], target: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of a marker leaves it."""
    length = math.dist(point, target)
    gap = _RADIUS + 4.0
    return point[0] + (target[0] - point[0]) / length * gap, point[1] + (target[1] - point[1]) / length * gap
