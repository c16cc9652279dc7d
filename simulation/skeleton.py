"""A walking body: from a look and a pose to the parts that a figure is painted of.

A part is a generalised cylinder: an axis in the world with a radius that changes along it. Lengths in the tables are
shares of the body's height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reid.types import AnyArray
from simulation.fabric import Colour, Fabric
from simulation.looks import Look

_HIP, _THIGH, _SHANK, _ANKLE = 0.515, 0.245, 0.235, 0.04
_SHOULDER, _UPPER_ARM, _FOREARM = 0.797, 0.157, 0.145
_HIP_HALF, _SHOULDER_HALF = 0.047, 0.1


class Part(NamedTuple):
    """One body part, garment or bag.

    Attributes:
        start: (3,) metres, in the world.
        end: (3,) metres.
        radii_m: Half widths at equal steps from start to end, seen from the wearer's front.
        flat: Half depth over half width.
        cap: How flat the ends are; 1 is a half sphere.
        fabric: Its surface.
        lift_m: Drawn as if this much nearer to the camera: garments over what they cover.
    """

    start: AnyArray
    end: AnyArray
    radii_m: tuple[float, ...]
    fabric: Fabric
    flat: float = 1.0
    cap: float = 1.0
    lift_m: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a body is, and at which moment of its stride.

    Attributes:
        x_m: On the floor.
        y_m: On the floor.
        heading: Direction it faces, radians.
        phase: Of the stride, radians; two steps are 2 pi.
        stride: 0 standing to 1 walking.
    """

    x_m: float
    y_m: float
    heading: float
    phase: float
    stride: float


class _Frame:
    """Turns (forward, left, up) in shares of the height into the world."""

    def __init__(self, look: Look, pose: Pose) -> None:
        cos, sin = math.cos(pose.heading), math.sin(pose.heading)
        self._axes = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) * look.height_m
        self._origin = np.array([pose.x_m, pose.y_m, 0.0])

    def at(self, forward: float, left: float, up: float) -> AnyArray:
        return self._origin + np.array([forward, left, up]) @ self._axes


def body_parts(look: Look, pose: Pose) -> list[Part]:
    """All parts of a person, in no order."""
    frame = _Frame(look, pose)
    legs, drop = _legs(look, pose, frame)
    lean = look.gait.lean * (_SHOULDER - _HIP)
    parts = [*legs, *_trunk(look, frame, drop, lean), *_head(look, frame, drop, lean)]
    for side in (1, -1):
        arm, hand = _arm(look, pose, frame, side, drop, lean)
        parts += arm
        if side < 0 and look.bag == "handbag":
            parts += _handbag(look, hand)
    return parts + _bag(look, frame, drop, lean)


def _legs(look: Look, pose: Pose, frame: _Frame) -> tuple[list[Part], float]:
    """Both legs, standing on the floor, and by how much the stride lowers the hips."""
    angles = [_leg_angles(look, pose, side) for side in (1, -1)]
    reach = [_THIGH * math.cos(thigh) + _SHANK * math.cos(shank) for thigh, shank in angles]
    drop = _HIP - _ANKLE - max(reach)
    parts: list[Part] = []
    for side, (thigh, shank) in zip((1, -1), angles, strict=True):
        parts += _leg(look, frame, side, thigh, shank, _HIP - drop)
    return parts, drop


def _leg_angles(look: Look, pose: Pose, side: int) -> tuple[float, float]:
    phase = pose.phase + (0.0 if side > 0 else math.pi)
    thigh = look.gait.swing * pose.stride * math.sin(phase)
    bend = 0.06 + pose.stride * (0.12 + 0.75 * max(0.0, math.cos(phase)) ** 1.5)
    return thigh, thigh - bend


def _leg(look: Look, frame: _Frame, side: int, thigh: float, shank: float, hip_up: float) -> list[Part]:
    left = side * _HIP_HALF * look.girth
    knee_forward, knee_up = _THIGH * math.sin(thigh), hip_up - _THIGH * math.cos(thigh)
    ankle_forward, ankle_up = knee_forward + _SHANK * math.sin(shank), knee_up - _SHANK * math.cos(shank)
    hip, knee, ankle = (
        frame.at(0.0, left, hip_up),
        frame.at(knee_forward, left, knee_up),
        frame.at(ankle_forward, left * 0.9, ankle_up),
    )
    skin = _bare(look)
    upper = look.bottom if look.legwear in ("trousers", "shorts") else skin
    lower = look.bottom if look.legwear == "trousers" else skin
    loose = 1.12 if look.legwear == "trousers" else 0.92
    wide = look.height_m * look.girth
    pitch = 0.35 * shank
    toe = frame.at(
        ankle_forward + 0.085 * math.cos(pitch), left, max(0.018, ankle_up - 0.022 + 0.085 * math.sin(pitch))
    )
    heel = frame.at(ankle_forward - 0.02, left, max(0.02, ankle_up - 0.02))
    return [
        Part(hip, knee, (0.056 * wide, 0.053 * wide, 0.043 * wide), upper),
        Part(knee, ankle, _scaled((0.037, 0.037, 0.03, 0.024), wide * loose), lower),
        Part(heel, toe, (0.024 * look.height_m, 0.021 * look.height_m), Fabric(base=look.shoes, fold=0.0)),
    ]


def _trunk(look: Look, frame: _Frame, drop: float, lean: float) -> list[Part]:
    wide = look.height_m * look.girth
    depth = min(0.85, 0.58 + 0.5 * max(0.0, look.girth - 1.0))
    lowest = 0.475 if look.top.pattern == "open" else 0.515
    hem, chest = frame.at(0, 0, lowest - drop), frame.at(lean, 0, 0.85 - drop)
    torso = (0.093, 0.088, 0.084, 0.087, 0.093, 0.099, 0.103, 0.103, 0.088, 0.04)
    parts = [Part(hem, chest, _scaled(torso, wide), look.top, flat=depth, cap=4.0, lift_m=0.11)]
    if look.legwear in ("skirt", "dress"):
        waist, knees = frame.at(0, 0, 0.6 - drop), frame.at(0, 0, 0.3 - drop)
        skirt = (0.082, 0.096, 0.101, 0.106, 0.112, 0.12)
        parts.append(Part(waist, knees, _scaled(skirt, wide), look.bottom, flat=0.8, cap=20.0, lift_m=0.3))
    else:
        seat, waist = frame.at(0, 0, 0.485 - drop), frame.at(0, 0, 0.56 - drop)
        parts.append(
            Part(seat, waist, _scaled((0.078, 0.087, 0.074), wide), look.bottom, flat=depth, cap=2.5, lift_m=0.07)
        )
    return parts


def _head(look: Look, frame: _Frame, drop: float, lean: float) -> list[Part]:
    size, skin = look.height_m, _bare(look)
    neck = Part(
        frame.at(lean, 0, 0.82 - drop), frame.at(lean, 0, 0.89 - drop), (0.034 * size, 0.031 * size), skin, lift_m=0.02
    )
    crown_up, forward = 0.955 - drop, lean + 0.012
    hairline = {"bald": 2.0, "short": 0.8, "bob": 0.74, "long": 0.78, "bun": 0.78, "cap": 0.66}[look.hair_style]
    face = Fabric(base=look.skin, second=look.hair, pattern="hair", scale=hairline, fold=0.0)
    chin, crown = frame.at(forward, 0, 0.907 - drop), frame.at(forward, 0, crown_up)
    parts = [neck, Part(chin, crown, (0.041 * size, 0.047 * size), face, flat=1.18, lift_m=0.05)]
    hair = Fabric(base=look.hair, fold=0.05)
    if look.hair_style in ("bob", "long"):
        ends = 0.87 if look.hair_style == "bob" else 0.775
        top, tip = frame.at(forward - 0.022, 0, 0.945 - drop), frame.at(forward - 0.042, 0, ends - drop)
        parts.append(Part(top, tip, _scaled((0.05, 0.056, 0.054, 0.044), size), hair, flat=0.55, cap=1.6, lift_m=0.045))
    if look.hair_style == "bun":
        knot = frame.at(forward - 0.06, 0, 0.965 - drop)
        parts.append(
            Part(knot, frame.at(forward - 0.062, 0, 0.975 - drop), (0.024 * size, 0.022 * size), hair, lift_m=0.05)
        )
    if look.hair_style == "cap":
        brim = frame.at(forward + 0.04, 0, 0.957 - drop), frame.at(forward + 0.085, 0, 0.948 - drop)
        parts.append(Part(*brim, (0.016 * size, 0.012 * size), hair, cap=1.5, lift_m=0.06))
    return parts


def _arm(look: Look, pose: Pose, frame: _Frame, side: int, drop: float, lean: float) -> tuple[list[Part], AnyArray]:
    """One arm, and where its hand is."""
    swing = -look.gait.arm_swing * pose.stride * math.sin(pose.phase + (0.0 if side > 0 else math.pi))
    bend = 0.22 + 0.5 * pose.stride * max(0.0, swing + 0.15)
    left = side * _SHOULDER_HALF * (0.55 + 0.45 * look.girth)
    out = 0.012 + 0.02 * look.girth
    elbow_at = lean + _UPPER_ARM * math.sin(swing), left + side * out, _SHOULDER - _UPPER_ARM * math.cos(swing) - drop
    lower = swing + bend
    hand_at = (
        elbow_at[0] + _FOREARM * math.sin(lower),
        elbow_at[1] + side * 0.004,
        elbow_at[2] - _FOREARM * math.cos(lower),
    )
    palm_at = hand_at[0] + 0.045 * math.sin(lower), hand_at[1], hand_at[2] - 0.045 * math.cos(lower)
    shoulder, elbow, wrist, palm = (
        frame.at(lean, left, _SHOULDER - drop),
        frame.at(*elbow_at),
        frame.at(*hand_at),
        frame.at(*palm_at),
    )
    skin, wide = _bare(look), look.height_m * (0.5 + 0.5 * look.girth)
    sleeve = _plain_of(look.top)
    return [
        Part(shoulder, elbow, _scaled((0.032, 0.031, 0.027), wide), sleeve, lift_m=0.15),
        Part(
            elbow, wrist, _scaled((0.028, 0.026, 0.02), wide), sleeve if look.sleeves == "long" else skin, lift_m=0.16
        ),
        Part(wrist, palm, _scaled((0.018, 0.021, 0.015), look.height_m), skin, lift_m=0.155),
    ], palm


def _bag(look: Look, frame: _Frame, drop: float, lean: float) -> list[Part]:
    fabric = Fabric(base=look.bag_colour, second=_darker(look.bag_colour), pattern="band", fold=0.03)
    if look.bag == "backpack":
        back = lean - 0.07 - 0.03 * look.girth
        low, high = frame.at(back, 0, 0.6 - drop), frame.at(back, 0, 0.8 - drop)
        return [
            Part(low, high, _scaled((0.074, 0.08, 0.078, 0.066), look.height_m), fabric, flat=0.62, cap=2.5, lift_m=0.1)
        ]
    if look.bag == "shoulder_bag":
        left = 0.125 * look.girth
        low, high = frame.at(-0.01, left, 0.47 - drop), frame.at(-0.01, left, 0.55 - drop)
        return [Part(low, high, _scaled((0.05, 0.052, 0.048), look.height_m), fabric, flat=1.3, cap=4.0, lift_m=0.06)]
    return []


def _handbag(look: Look, hand: AnyArray) -> list[Part]:
    fabric = Fabric(base=look.bag_colour, second=_darker(look.bag_colour), pattern="band", fold=0.03)
    size = look.height_m
    low, high = hand - np.array([0, 0, 0.135 * size]), hand - np.array([0, 0, 0.05 * size])
    handle = Part(
        high, hand, _scaled((0.012, 0.008), size), Fabric(base=_darker(look.bag_colour), fold=0.0), lift_m=0.14
    )
    return [handle, Part(low, high, _scaled((0.055, 0.052, 0.04), size), fabric, flat=1.25, cap=4.0, lift_m=0.15)]


def _bare(look: Look) -> Fabric:
    return Fabric(base=look.skin, fold=0.02)


def _plain_of(top: Fabric) -> Fabric:
    """The sleeve of a top: stripes and checks go on, what is printed on the front does not."""
    if top.pattern in ("stripes", "checks"):
        return Fabric(
            base=top.base, second=top.second, pattern="stripes", scale=top.scale * 0.5, fold=top.fold, phase=top.phase
        )
    colour = top.second if top.pattern == "block" else top.base
    return Fabric(base=colour, fold=top.fold, phase=top.phase)


def _darker(colour: Colour) -> Colour:
    blue, green, red = colour
    return 0.6 * blue, 0.6 * green, 0.6 * red


def _scaled(radii: tuple[float, ...], size: float) -> tuple[float, ...]:
    return tuple(radius * size for radius in radii)
