"""How busy the server was lately: rates of the last hour, in memory, for the charts of the console."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reid.durations import quantile_s
from server.counts import StreamCounts

_EVERY_S = 5.0
_KEPT = 720
_P50, _P95 = 0.5, 0.95


@dataclass(frozen=True, kw_only=True)
class Rates:
    """One span of a few seconds.

    Attributes:
        time_us: Its end.
        per_s: Observations acknowledged a second, by edge_id.
        p50_ms: Median from a batch read to its acknowledgement; None where there was none.
        p95_ms: The same, 95th percentile.
        num_queued: Batches that waited for the writer at its end.
    """

    time_us: int
    per_s: Mapping[str, float]
    p50_ms: float | None
    p95_ms: float | None
    num_queued: int


@dataclass(frozen=True)
class _Reading:
    time_us: int
    acknowledged: Mapping[str, int]
    cumulative: Sequence[tuple[float, int]]


class RateHistory:
    """The last hour. `run` in a task.

    Args:
        counts: Of the edges' streams.
        num_queued: Batches that wait for the writer now.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(self, counts: StreamCounts, num_queued: Callable[[], int], clock_us: Callable[[], int]) -> None:
        self._counts = counts
        self._num_queued = num_queued
        self._clock_us = clock_us
        self._last = self._read()
        self._history: deque[Rates] = deque(maxlen=_KEPT)

    def step(self) -> None:
        """Note what happened since the step before."""
        before, after = self._last, self._read()
        seconds = (after.time_us - before.time_us) / 1e6
        if seconds <= 0:  # the clock was set back
            self._last = after
            return
        passed = [
            (bound_s, now - then) for (bound_s, now), (_, then) in zip(after.cumulative, before.cumulative, strict=True)
        ]
        self._history.append(
            Rates(
                time_us=after.time_us,
                per_s={
                    edge_id: (count - before.acknowledged.get(edge_id, 0)) / seconds
                    for edge_id, count in after.acknowledged.items()
                },
                p50_ms=_quantile_ms(passed, _P50),
                p95_ms=_quantile_ms(passed, _P95),
                num_queued=self._num_queued(),
            )
        )
        self._last = after

    async def run(self) -> None:
        """Note what happens until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.step()

    def history(self) -> list[Rates]:
        """What was noted, oldest first."""
        return list(self._history)

    def _read(self) -> _Reading:
        acknowledged = {edge_id: edge.acknowledged for edge_id, edge in dict(self._counts.edges).items()}
        return _Reading(self._clock_us(), acknowledged, self._counts.acknowledgement.cumulative())


def _quantile_ms(passed: Sequence[tuple[float, int]], share: float) -> float | None:
    return 1e3 * quantile_s(passed, share) if passed[-1][1] else None
