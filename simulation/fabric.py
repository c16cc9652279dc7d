"""What a surface looks like: a colour for every point of a body part, wrapped around it.

A point is (azimuth, along): azimuth in radians from the wearer's front, positive to the wearer's left; along runs from
0 at the start of the part to 1 at its end. Colours are BGR, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reid.types import AnyArray, FloatArray

Colour = tuple[float, float, float]
Pattern = Literal["plain", "stripes", "pinstripes", "checks", "block", "logo", "open", "band", "hair"]
Strap = Literal["none", "shoulders", "diagonal"]


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """A surface with up to two colours, a pattern, and the strap of a bag across it.

    Attributes:
        base: Main colour.
        second: The pattern's other colour.
        pattern: How the two are laid out.
        scale: Number of repeats along the part, or height of the hairline for `hair`.
        fold: Strength of the folds' shading, 0 for smooth.
        phase: Shifts folds and pattern, so that no two garments are alike.
        strap: Strap of a bag worn over it.
        strap_colour: Its colour.
    """

    base: Colour
    second: Colour = (0.0, 0.0, 0.0)
    pattern: Pattern = "plain"
    scale: float = 6.0
    fold: float = 0.06
    phase: float = 0.0
    strap: Strap = "none"
    strap_colour: Colour = (30.0, 30.0, 30.0)


def _soft(signed: AnyArray, sharpness: float) -> AnyArray:
    """From below zero (0) to above zero (1), with an edge soft enough not to flicker."""
    return np.clip(0.5 + sharpness * signed, 0.0, 1.0)


def _stripes(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    return _soft(np.sin(2 * np.pi * fabric.scale * along + fabric.phase), 2.5)


def _pinstripes(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    return _soft(np.sin(2.4 * fabric.scale * azimuth + fabric.phase) - 0.3, 2.5)


def _checks(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    across = _soft(np.sin(2.0 * fabric.scale * azimuth), 2.5)
    down = _soft(np.sin(2 * np.pi * fabric.scale * along + fabric.phase), 2.5)
    return 0.5 * (across + down)


def _block(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    return _soft(along - 0.58, 40.0)


def _band(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    return _soft(0.11 - np.abs(along - 0.62), 40.0)


def _logo(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    across, up = np.abs(azimuth) / 0.55, np.abs(along - 0.68) / 0.13
    return _soft(1.0 - np.maximum(across, up), 8.0)


def _open(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    return _soft(0.22 + 0.16 * along - np.abs(azimuth), 12.0)


def _hair(fabric: Fabric, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    """Base is skin, second is hair: high on the forehead, lower at the temples, down to the neck at the back."""
    facing = np.cos(azimuth)
    hairline = np.where(facing > 0.35, fabric.scale, fabric.scale - 1.1 * (0.35 - facing))
    return _soft(along - hairline, 18.0)


_PATTERNS: dict[Pattern, Callable[[Fabric, AnyArray, AnyArray], AnyArray]] = {
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "checks": _checks,
    "block": _block,
    "band": _band,
    "logo": _logo,
    "open": _open,
    "hair": _hair,
}


def colours_of(fabric: Fabric, azimuth: FloatArray, along: FloatArray) -> FloatArray:
    """Colour of each point of a part.

    Args:
        fabric: The surface.
        azimuth: float32 (H, W), radians in [-pi, pi].
        along: float32 (H, W), in [0, 1].

    Returns:
        float32 (H, W, 3) or, for a plain surface, (1, 1, 3), BGR, 0 to 255, before light and folds.
    """
    base = np.asarray(fabric.base, dtype=np.float32)[None, None]
    colours = base
    if fabric.pattern != "plain":
        share = _PATTERNS[fabric.pattern](fabric, azimuth, along)[..., None]
        colours = base + share * (np.asarray(fabric.second, dtype=np.float32) - base)
    if fabric.strap != "none":
        share = _strap_share(fabric.strap, azimuth, along)[..., None]
        colours = colours + share * (np.asarray(fabric.strap_colour, dtype=np.float32) - colours)
    return np.asarray(colours, dtype=np.float32)


def fold_shading(fabric: Fabric, azimuth: FloatArray, along: FloatArray) -> AnyArray:
    """Factor on the brightness, (H, W), about 1."""
    if fabric.pattern == "hair":
        return _face_shading(azimuth, along)
    waves = np.sin(9.0 * along + 2.0 * azimuth + fabric.phase) + np.sin(23.0 * along - 3.0 * azimuth + 2 * fabric.phase)
    return 1.0 + np.float32(fabric.fold) * waves


def _face_shading(azimuth: AnyArray, along: AnyArray) -> AnyArray:
    """Eyes and mouth, as darker spots."""
    eyes = np.exp(-(((np.abs(azimuth) - 0.42) / 0.16) ** 2) - ((along - 0.55) / 0.035) ** 2)
    mouth = np.exp(-((azimuth / 0.3) ** 2) - ((along - 0.24) / 0.025) ** 2)
    nose = np.exp(-((azimuth / 0.1) ** 2) - ((along - 0.4) / 0.06) ** 2)
    return 1.0 - 0.6 * eyes - 0.3 * mouth - 0.12 * nose


def _strap_share(strap: Strap, azimuth: AnyArray, along: AnyArray) -> AnyArray:
    if strap == "shoulders":
        front = np.abs(np.abs(azimuth) - 0.62)
        return _soft(0.13 - front, 12.0) * _soft(along - 0.42, 20.0)
    lean = np.where(np.abs(azimuth) < np.pi / 2, np.sin(azimuth), -np.sin(azimuth))
    back = np.abs(azimuth) >= np.pi / 2
    height = 0.52 + np.where(back, -0.42, 0.42) * lean * np.where(back, -1.0, 1.0)
    return _soft(0.06 - np.abs(along - height), 14.0)
