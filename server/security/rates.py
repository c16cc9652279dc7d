"""How fast each edge may send: a token bucket per edge, kept over its reconnections."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    filled_at_s: float


class EdgeRates:
    """Says how long to wait before more of an edge is read. Waiting reaches the edge as back-pressure: nothing is lost.

    Args:
        rate_hz: Observations a second that one edge may send for long.
        burst: Observations that it may send at once after a rest.
    """

    def __init__(self, *, rate_hz: float, burst: int) -> None:
        self._rate_hz = rate_hz
        self._burst = float(burst)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, edge_id: str, num_observations: int, now_s: float) -> float:
        """Count observations that came in.

        Args:
            edge_id: Whose.
            num_observations: How many.
            now_s: Monotonic clock.

        Returns:
            Seconds to wait before reading on; 0 within the rate.
        """
        if edge_id not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._forget_rested(now_s)
        bucket = self._buckets.setdefault(edge_id, _Bucket(self._burst, now_s))
        bucket.level = self._level(bucket, now_s) - num_observations
        bucket.filled_at_s = now_s
        return max(0.0, -bucket.level / self._rate_hz)

    def _level(self, bucket: _Bucket, now_s: float) -> float:
        return min(self._burst, bucket.level + (now_s - bucket.filled_at_s) * self._rate_hz)

    def _forget_rested(self, now_s: float) -> None:
        """A full bucket is like a new one."""
        self._buckets = {
            edge_id: bucket for edge_id, bucket in self._buckets.items() if self._level(bucket, now_s) < self._burst
        }
