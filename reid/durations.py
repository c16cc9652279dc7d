"""How often something took how long: a histogram of plain integers, cheap enough for every frame and every batch."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of all buckets but the last, which has none."""


class Durations:
    """Counts durations by bucket. One thread writes; any may read.

    Attributes:
        total_s: Sum of all durations.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self._counts = [0] * (len(BOUNDS_S) + 1)

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self._counts)

    def add(self, duration_s: float) -> None:
        """Count a duration, seconds."""
        self.total_s += duration_s
        self._counts[bisect_left(BOUNDS_S, duration_s)] += 1

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Count the time that the block takes, however it ends."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(time.perf_counter() - begin_s)

    def cumulative(self) -> list[tuple[float, int]]:
        """For each bound how many were not longer; the last bound is infinite."""
        so_far = 0
        rows: list[tuple[float, int]] = []
        for bound_s, count in zip((*BOUNDS_S, float("inf")), list(self._counts), strict=True):
            so_far += count
            rows.append((bound_s, so_far))
        return rows


def merged(parts: Iterable[Durations]) -> Durations:
    """The durations of several places as if they were one."""
    whole = Durations()
    for part in parts:
        whole.total_s += part.total_s
        whole._counts = [a + b for a, b in zip(whole._counts, part._counts, strict=True)]
    return whole


def quantile_s(cumulative: Iterable[tuple[float, int]], share: float) -> float:
    """Estimate a quantile, on a straight line within its bucket.

    Args:
        cumulative: As `Durations.cumulative` gives it.
        share: In [0, 1]; 0.5 for the median.

    Returns:
        Seconds; the largest finite bound when it lies beyond that, 0 without any duration.
    """
    rows = list(cumulative)
    wanted = share * rows[-1][1] if rows else 0.0
    below_s, below = 0.0, 0
    for bound_s, count in rows:
        if count >= wanted and count > below:
            part = (wanted - below) / (count - below)
            return below_s if bound_s == float("inf") else below_s + part * (bound_s - below_s)
        below_s, below = bound_s, count
    return 0.0
