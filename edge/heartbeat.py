"""When a loop last turned, so that somebody else can tell a working one from one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable


class Heartbeat:
    """Beaten by one loop; asked by any thread. A loop that has not begun, or has ended, rests.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s: float | None = None

    def beat(self) -> None:
        """The loop begins a turn."""
        self._last_s = self._clock()

    def rest(self) -> None:
        """The loop has ended."""
        self._last_s = None

    @property
    def silent_s(self) -> float:
        """Seconds since the last turn began; 0 while the loop rests."""
        last_s = self._last_s
        return 0.0 if last_s is None else self._clock() - last_s
