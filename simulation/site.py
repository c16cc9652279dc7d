"""The simulated site: the same people, seen by every camera in its own way, at any moment, in any order.

Everything follows from the configuration: two sites with equal configurations give equal frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from reid.errors import ConfigError
from reid.settings import Settings
from reid.types import Box, UInt8Array
from simulation.backdrop import Backdrop, Furniture, draw_backdrop
from simulation.camera import Pinhole
from simulation.figure import Figure, Light, figure_of, paint_figure, paint_shadow
from simulation.looks import Difficulty, Look, draw_looks
from simulation.optics import Optics, draw_optics
from simulation.skeleton import Pose
from simulation.visibility import Visibility
from simulation.walks import Spot, Walk

_LEAST_VISIBLE = 0.05
_LEAST_SIDE_PX = 8.0
_MIDDLE_AHEAD_M = 6.3
_LOOKS, _WALKS, _CAMERAS = 1, 2, 3
"""Streams of random numbers: more cameras do not change the people, nor longer walks the looks."""


class SiteConfig(Settings):
    """What the site is like."""

    seed: int = Field(default=1, ge=0)
    """Same seed, same site."""
    num_people: int = Field(default=12, ge=1, le=1000)
    """People who walk about."""
    num_cameras: int = Field(default=3, ge=1, le=100)
    """Cameras c1, c2, …; each watches its own zone."""
    duration_s: float = Field(default=60.0, gt=0, le=7 * 86400)
    """Length of what the cameras record."""
    fps_hz: float = Field(default=10.0, gt=0, le=60)
    """Frames a second."""
    width_px: int = Field(default=640, ge=64, le=4096)
    """Width of the frames."""
    height_px: int = Field(default=360, ge=64, le=4096)
    """Height of the frames."""
    difficulty: Difficulty = "medium"
    """How alike people dress, and how much cameras differ in colour and noise."""


@dataclass(frozen=True)
class SimulatedPerson:
    """The truth about one person in one frame.

    Attributes:
        pid: From 1; the same person everywhere.
        box: Bounds of the whole body, hidden parts included, cut to the frame.
        visible_fraction: Share of the body that is inside the frame and hidden by nothing, in (0, 1].
    """

    pid: int
    box: Box
    visible_fraction: float


@dataclass(frozen=True)
class SimulatedFrame:
    """One frame with its truth.

    Attributes:
        image: BGR uint8 (H, W, 3).
        people: Those of whom something is visible, in order of pid.
    """

    image: UInt8Array
    people: tuple[SimulatedPerson, ...]


@dataclass(frozen=True)
class _View:
    """All that one camera needs."""

    camera: Pinhole
    light: Light
    backdrop: Backdrop
    visibility: Visibility
    optics: Optics


class SimulatedSite:
    """People walking in front of cameras; frames in any order, each the same whenever it is asked for.

    Cameras are built when first asked for, so that a process that plays one of many pays for one.

    Args:
        config: What the site is like.
    """

    def __init__(self, config: SiteConfig) -> None:
        self.config = config
        self.camids: tuple[str, ...] = tuple(f"c{number + 1}" for number in range(config.num_cameras))
        self.num_frames: int = max(1, round(config.duration_s * config.fps_hz))
        self.looks: tuple[Look, ...] = tuple(
            draw_looks(_rng(config, _LOOKS), config.num_people, difficulty=config.difficulty)
        )
        self._cameras = [_hang_camera(_rng(config, _CAMERAS, zone), config) for zone in range(config.num_cameras)]
        half_views = tuple(camera.width_px / 2 / camera.focal_px for camera in self._cameras)
        self._walks = [
            Walk(_rng(config, _WALKS, number), look.gait, half_views=half_views, duration_s=config.duration_s)
            for number, look in enumerate(self.looks)
        ]
        self._views: dict[int, _View] = {}

    def frame(self, camid: str, index: int) -> SimulatedFrame:
        """Render a frame.

        Args:
            camid: One of `camids`.
            index: From 0 to `num_frames` - 1.

        Raises:
            ConfigError: The site has no such camera.
            IndexError: It has no such frame.
        """
        zone = self._zone(camid, index)
        view = self._view(zone)
        figures = self._figures(zone, index)
        people = self._people(view, figures)
        scene = _compose(view, list(figures.values()))
        return SimulatedFrame(view.optics.apply(scene, index), people)

    def people_in(self, camid: str, index: int) -> tuple[SimulatedPerson, ...]:
        """The truth of a frame, without rendering it.

        Raises:
            ConfigError: The site has no such camera.
            IndexError: It has no such frame.
        """
        zone = self._zone(camid, index)
        return self._people(self._view(zone), self._figures(zone, index))

    def _zone(self, camid: str, index: int) -> int:
        if camid not in self.camids:
            raise ConfigError(f"the simulated site has no camera {camid!r}, only {', '.join(self.camids)}")
        if not 0 <= index < self.num_frames:
            raise IndexError(f"frame {index} of camera {camid}: the simulated site has {self.num_frames}")
        return self.camids.index(camid)

    def _view(self, zone: int) -> _View:
        if zone not in self._views:
            self._views[zone] = _build_view(_rng(self.config, _CAMERAS, zone, 1), self._cameras[zone], self.config)
        return self._views[zone]

    def _figures(self, zone: int, index: int) -> dict[int, Figure]:
        """The figures in a zone by pid."""
        time_s = index / self.config.fps_hz
        spots = ((pid, walk.spot_at(time_s)) for pid, walk in enumerate(self._walks, start=1))
        camera = self._cameras[zone]
        return {
            pid: figure_of(self.looks[pid - 1], _pose_at(spot, camera, self.looks[pid - 1]), camera)
            for pid, spot in spots
            if spot is not None and spot.zone == zone
        }

    def _people(self, view: _View, figures: dict[int, Figure]) -> tuple[SimulatedPerson, ...]:
        fractions = view.visibility.fractions(list(figures.values()))
        people = []
        for (pid, figure), fraction in zip(figures.items(), fractions, strict=True):
            box = _cut(figure.box, self.config)
            if fraction >= _LEAST_VISIBLE and min(box.width_px, box.height_px) >= _LEAST_SIDE_PX:
                people.append(SimulatedPerson(pid, box, min(1.0, fraction)))
        return tuple(people)


def _rng(config: SiteConfig, *stream: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, *stream])


def _hang_camera(rng: np.random.Generator, config: SiteConfig) -> Pinhole:
    height_m = float(rng.uniform(2.3, 3.4))
    half_view = math.radians(float(rng.uniform(29, 34)))
    return Pinhole(
        x_m=0.0,
        y_m=0.0,
        height_m=height_m,
        yaw=float(rng.uniform(0, 2 * math.pi)),
        tilt=math.atan2(height_m - 0.85, _MIDDLE_AHEAD_M),
        focal_px=config.width_px / 2 / math.tan(half_view),
        width_px=config.width_px,
        height_px=config.height_px,
    )


def _build_view(rng: np.random.Generator, camera: Pinhole, config: SiteConfig) -> _View:
    size = {"width_px": config.width_px, "height_px": config.height_px}
    light = Light(
        right=float(rng.uniform(-0.5, 0.5)), up=float(rng.uniform(0.3, 0.6)), ambient=float(rng.uniform(0.5, 0.65))
    )
    backdrop = draw_backdrop(rng, camera)
    optics = Optics(draw_optics(rng, difficulty=config.difficulty), rng, **size)
    return _View(camera, light, backdrop, Visibility(backdrop.furniture, **size), optics)


def _pose_at(spot: Spot, camera: Pinhole, look: Look) -> Pose:
    x_m, y_m = camera.place(spot.ahead_m, spot.right_m)
    return Pose(
        x_m=x_m,
        y_m=y_m,
        heading=camera.yaw + spot.direction,
        phase=math.pi * spot.walked_m / look.gait.step_m,
        stride=spot.stride,
    )


def _compose(view: _View, figures: list[Figure]) -> UInt8Array:
    """Paint figures into the empty scene, far ones first, and furniture again over those whom it hides."""
    scene = view.backdrop.image.copy()
    for figure in figures:
        paint_shadow(scene, figure, view.camera)
    layers: list[Figure | Furniture] = [*figures, *view.backdrop.furniture]
    for layer in sorted(layers, key=lambda layer: -layer.depth_m):
        if isinstance(layer, Figure):
            paint_figure(scene, layer, view.light)
        else:
            top, bottom, left, right = layer.bounds
            area = slice(top, bottom), slice(left, right)
            np.copyto(scene[area], view.backdrop.image[area], where=layer.mask[area][..., None])
    return scene


def _cut(box: Box, config: SiteConfig) -> Box:
    """The part of a box inside the frame; degenerate when there is none."""
    return Box(
        min(max(box.x1, 0.0), config.width_px),
        min(max(box.y1, 0.0), config.height_px),
        min(max(box.x2, 0.0), config.width_px),
        min(max(box.y2, 0.0), config.height_px),
    )
