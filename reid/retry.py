"""Waiting between attempts. Knows no service: callers say what is worth another try."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Backoff:
    """Exponential back-off with jitter.

    Attributes:
        first_s: Upper bound of the first wait, seconds.
        most_s: Upper bound of any wait, seconds.
        rng: Source of the jitter.
    """

    first_s: float = 0.2
    most_s: float = 15.0
    rng: random.Random = field(default_factory=random.Random)
    _attempts: int = field(default=0, init=False)

    def next_wait_s(self) -> float:
        """Seconds to wait before the next attempt: uniform in [half, whole] of a bound that doubles each time."""
        bound_s = min(self.most_s, self.first_s * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        return bound_s * self.rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again from the first wait, after a success."""
        self._attempts = 0
