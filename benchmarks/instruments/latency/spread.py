"""How long something took, over many times: percentiles, and calls of several things in turn. No files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

_MIN_ROUNDS = 3
_TURN_S = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles of times, milliseconds; of few times the high ones are near the longest."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    count: int

    def to_json(self) -> dict[str, float]:
        """As plain numbers, to a tenth of a microsecond."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def spread_of(times_ms: Sequence[float]) -> Spread:
    """Percentiles of some times.

    Raises:
        ValueError: There are none.
    """
    if not len(times_ms):
        raise ValueError("no times to take percentiles of: the measurement gave nothing")
    p50_ms, p90_ms, p99_ms = (float(value) for value in np.percentile(times_ms, (50, 90, 99)))
    return Spread(p50_ms=p50_ms, p90_ms=p90_ms, p99_ms=p99_ms, max_ms=float(max(times_ms)), count=len(times_ms))


def times_in_turn(
    calls: Mapping[str, Callable[[], object]],
    *,
    budget_s: float,
    clock: Callable[[], float],
    turn_s: float = _TURN_S,
) -> dict[str, list[float]]:
    """Time several things in turn, so that a busy moment of the machine hits all of them.

    Everything is called once before. A turn begins with a call that does not count: caches are cold then, and threads
    of the one before may still spin.

    Args:
        calls: By name.
        budget_s: Ends after the round in which this is used up; there are three rounds all the same.
        clock: Monotonic seconds.
        turn_s: Of each turn, in counted calls; there is one at least.

    Returns:
        Milliseconds of each counted call, by name.
    """
    for call in calls.values():
        call()
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    began_s, num_rounds = clock(), 0
    while num_rounds < _MIN_ROUNDS or clock() - began_s < budget_s:
        for name, call in calls.items():
            call()
            times_ms[name].extend(_one_turn(call, turn_s, clock))
        num_rounds += 1
    return times_ms


def _one_turn(call: Callable[[], object], turn_s: float, clock: Callable[[], float]) -> list[float]:
    times_ms: list[float] = []
    until_s = clock() + turn_s
    while not times_ms or clock() < until_s:
        began_s = clock()
        call()
        times_ms.append((clock() - began_s) * 1e3)
    return times_ms
