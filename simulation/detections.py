"""What an ordinary detector would make of a simulated frame: boxes a little off, some people missed, some ghosts.

Seeded by site, camera and frame: the same frame gives the same detections, in any order.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from reid.detector import Detections
from reid.settings import Settings
from reid.types import AnyArray, Box
from simulation.site import SimulatedPerson, SiteConfig


class DetectionNoise(Settings):
    """How an ordinary detector errs."""

    jitter: float = Field(default=0.02, ge=0, le=0.5)
    """Standard deviation of each side of a box, as a share of its width or height."""
    miss_rate: float = Field(default=0.02, ge=0, le=1)
    """Share of plainly visible people who are missed; hidden ones are missed more often."""
    ghost_rate: float = Field(default=0.01, ge=0, le=1)
    """Chance of a box around nothing, a frame."""
    least_visible: float = Field(default=0.2, ge=0, le=1)
    """People who are visible to less than this share are never found."""


def noisy_detections(
    people: Sequence[SimulatedPerson],
    site: SiteConfig,
    *,
    camid: str,
    index: int,
    noise: DetectionNoise | None = None,
) -> Detections:
    """Detections of one frame.

    Args:
        people: The truth.
        site: Gives the seed and the size of the frame.
        camid: The camera.
        index: Number of the frame.
        noise: How the detector errs; the defaults when left out.

    Returns:
        Boxes cut to the frame, best score first; scores rise with visibility and size.
    """
    noise = noise or DetectionNoise()
    rng = np.random.default_rng([site.seed, zlib.crc32(camid.encode()), index])
    found: list[tuple[float, tuple[float, float, float, float]]] = []
    for person in people:
        # Always the same draws for a person, found or not, so that one person's luck does not change another's.
        luck, wobble, offsets = rng.random(), rng.normal(), rng.normal(0, noise.jitter, 4)
        if person.visible_fraction < noise.least_visible or luck < _miss_chance(person, noise):
            continue
        box = _cut(_moved(person.box, offsets), site)
        if box is not None:
            found.append((_score(person, wobble), box))
    if rng.random() < noise.ghost_rate:
        box = _cut(_ghost(rng, site), site)
        if box is not None:
            found.append((float(rng.uniform(0.3, 0.55)), box))
    return _sorted(found)


def _miss_chance(person: SimulatedPerson, noise: DetectionNoise) -> float:
    hidden = 1.0 - person.visible_fraction
    return min(1.0, noise.miss_rate + 0.6 * hidden**2) if noise.miss_rate > 0 else 0.0


def _score(person: SimulatedPerson, wobble: float) -> float:
    small = max(0.0, 1.0 - person.box.height_px / 60.0)
    return float(np.clip(0.35 + 0.58 * person.visible_fraction - 0.3 * small + 0.03 * wobble, 0.05, 0.99))


def _moved(box: Box, offsets: AnyArray) -> Box:
    width, height = box.width_px, box.height_px
    return Box(
        box.x1 + float(offsets[0]) * width,
        box.y1 + float(offsets[1]) * height,
        box.x2 + float(offsets[2]) * width,
        box.y2 + float(offsets[3]) * height,
    )


def _ghost(rng: np.random.Generator, site: SiteConfig) -> Box:
    height = float(rng.uniform(0.15, 0.4)) * site.height_px
    x1, y1 = float(rng.uniform(0, site.width_px)), float(rng.uniform(0.2, 0.6)) * site.height_px
    return Box(x1, y1, x1 + 0.4 * height, y1 + height)


def _cut(box: Box, site: SiteConfig) -> tuple[float, float, float, float] | None:
    x1, y1 = max(0.0, box.x1), max(0.0, box.y1)
    x2, y2 = min(float(site.width_px), box.x2), min(float(site.height_px), box.y2)
    return (x1, y1, x2, y2) if x2 - x1 >= 2 and y2 - y1 >= 2 else None


def _sorted(found: list[tuple[float, tuple[float, float, float, float]]]) -> Detections:
    if not found:
        return Detections.none()
    found.sort(key=lambda entry: -entry[0])
    return Detections(
        xyxy=np.array([box for _, box in found], dtype=np.float32),
        scores=np.array([score for score, _ in found], dtype=np.float32),
    )
