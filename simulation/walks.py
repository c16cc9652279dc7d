"""Walks: where every person is at every moment.

Each camera watches one zone. A person walks through a zone, sometimes stops there, leaves it at a side, is out of sight
for as long as the way to the next zone takes, and enters that one. Nobody is in two zones at once. Spots in a zone are
given from the camera's foot: metres ahead, metres to the right.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np

from reid.types import AnyArray
from simulation.looks import Gait

NEAREST_AHEAD_M = 4.3
FARTHEST_AHEAD_M = 9.5
_OUT_OF_VIEW_M = 1.1
_ZONE_SPACING_M = 5.0
_STOP_SHARE = 0.3
_SETTLE_S = 0.35
"""Time in which a stopping person's stride fades."""


@dataclass(frozen=True)
class Spot:
    """A person's place and stride at one moment.

    Attributes:
        zone: Number of the camera that watches it.
        ahead_m: From the camera's foot.
        right_m: From the camera's foot.
        direction: Of the walk, radians, 0 away from the camera, positive to its left.
        walked_m: Way since the zone was entered.
        stride: 0 standing to 1 walking.
    """

    zone: int
    ahead_m: float
    right_m: float
    direction: float
    walked_m: float
    stride: float


@dataclass(frozen=True)
class Crossing:
    """One way through one zone.

    Attributes:
        zone: Number of the zone.
        path_N2: (N, 2) spots: ahead, right.
        reached_m: (N,) way walked at each of them.
        knots_s: Rising times.
        walked_m: Way walked at each of those times; flat where the person stands.
        strides: Stride at each of those times.
    """

    zone: int
    path_N2: AnyArray
    reached_m: AnyArray
    knots_s: AnyArray
    walked_m: AnyArray
    strides: AnyArray

    @property
    def start_s(self) -> float:
        """When the zone is entered."""
        return float(self.knots_s[0])

    @property
    def end_s(self) -> float:
        """When the zone is left."""
        return float(self.knots_s[-1])

    def spot_at(self, time_s: float) -> Spot:
        """Place at a moment between `start_s` and `end_s`."""
        walked = float(np.interp(time_s, self.knots_s, self.walked_m))
        part = min(max(int(np.searchsorted(self.reached_m, walked)), 1), len(self.path_N2) - 1)
        ahead = float(np.interp(walked, self.reached_m, self.path_N2[:, 0]))
        right = float(np.interp(walked, self.reached_m, self.path_N2[:, 1]))
        step = self.path_N2[part] - self.path_N2[part - 1]
        stride = float(np.interp(time_s, self.knots_s, self.strides))
        return Spot(self.zone, ahead, right, math.atan2(-step[1], step[0]), walked, stride)


class Walk:
    """All crossings of one person, in order of time.

    Args:
        rng: Source of every choice.
        gait: The walker's.
        half_views: For each zone, how far the view reaches to either side at one metre ahead.
        duration_s: How long the walk is planned.
    """

    def __init__(
        self, rng: np.random.Generator, gait: Gait, *, half_views: tuple[float, ...], duration_s: float
    ) -> None:
        self.crossings: list[Crossing] = []
        zone = int(rng.integers(len(half_views)))
        time_s = float(rng.uniform(-12.0, 6.0))
        while time_s < duration_s:
            crossing = _plan_crossing(rng, gait, zone, half_view=half_views[zone], start_s=time_s)
            self.crossings.append(crossing)
            following = _next_zone(rng, zone, len(half_views))
            way_m = _ZONE_SPACING_M * max(1, abs(following - zone))
            time_s = crossing.end_s + way_m / gait.speed_m_s + float(rng.uniform(0.0, 2.5))
            zone = following
        self._starts = [crossing.start_s for crossing in self.crossings]

    def spot_at(self, time_s: float) -> Spot | None:
        """Place at a moment, or None while the person is between zones."""
        latest = bisect.bisect_right(self._starts, time_s) - 1
        if latest < 0 or time_s > self.crossings[latest].end_s:
            return None
        return self.crossings[latest].spot_at(time_s)


def _next_zone(rng: np.random.Generator, zone: int, num_zones: int) -> int:
    if num_zones == 1:
        return 0
    other = int(rng.integers(num_zones - 1))
    return other + (other >= zone)


def _plan_crossing(rng: np.random.Generator, gait: Gait, zone: int, *, half_view: float, start_s: float) -> Crossing:
    side = 1 if rng.random() < 0.5 else -1
    leaves = -side if rng.random() < 0.75 else side
    inside = [_spot_inside(rng, half_view) for _ in range(int(rng.integers(2, 5)))]
    inside.sort(key=lambda spot: -side * spot[1])
    path = _rounded(np.array([_spot_outside(rng, half_view, side), *inside, _spot_outside(rng, half_view, leaves)]))
    reached = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    knots, walked, strides = _timing(rng, gait, float(reached[-1]))
    return Crossing(zone, path, reached, knots + start_s, walked, strides)


def _spot_inside(rng: np.random.Generator, half_view: float) -> tuple[float, float]:
    ahead = float(rng.uniform(NEAREST_AHEAD_M, FARTHEST_AHEAD_M))
    return ahead, float(rng.uniform(-0.75, 0.75)) * half_view * ahead


def _spot_outside(rng: np.random.Generator, half_view: float, side: int) -> tuple[float, float]:
    ahead = float(rng.uniform(NEAREST_AHEAD_M + 0.7, FARTHEST_AHEAD_M - 1.0))
    return ahead, side * (half_view * ahead + _OUT_OF_VIEW_M)


def _rounded(corners_N2: AnyArray) -> AnyArray:
    """Cut the corners of a path, three times over."""
    path = corners_N2
    for _ in range(3):
        nearer, farther = 0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]
        inner = np.stack([nearer, farther], axis=1).reshape(-1, 2)
        path = np.concatenate([path[:1], inner, path[-1:]])
    return path


def _timing(rng: np.random.Generator, gait: Gait, way_m: float) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Knots of time from 0, way walked and stride: with or without one stop on the way."""
    total_s = way_m / gait.speed_m_s
    if rng.random() >= _STOP_SHARE:
        return np.array([0.0, total_s]), np.array([0.0, way_m]), np.ones(2)
    stop_m, stop_s = float(rng.uniform(0.35, 0.65)) * way_m, float(rng.uniform(1.5, 3.5))
    before_s = stop_m / gait.speed_m_s
    knots = [0.0, before_s - _SETTLE_S, before_s, before_s + stop_s, before_s + stop_s + _SETTLE_S, total_s + stop_s]
    slack_m = _SETTLE_S * gait.speed_m_s
    walked = [0.0, stop_m - slack_m, stop_m, stop_m, stop_m + slack_m, way_m]
    return np.array(knots), np.array(walked), np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
