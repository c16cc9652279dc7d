"""When a stream to the server is tried again, and what there is to say of the last one. Knows no service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from edge.stream import StreamEnd
from reid.retry import Backoff

logger = structlog.get_logger(__name__)

_STABLE_S = 30.0
"""A stream that lasted this long was a success, even if nothing was said on it."""


class Attempts:
    """The attempts of one stream, one after the other. One thread.

    Args:
        name: Of what the stream is for, in the log.
        backoff: Waits after a break of the line or of the server.
        refused_retry_s: Wait after the server has refused this edge, seconds.
        clock: Monotonic seconds.

    Attributes:
        problem: Why the last stream ended; empty while one works.
        is_refused: The server refused this edge.
    """

    def __init__(
        self, name: str, backoff: Backoff, *, refused_retry_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.problem = ""
        self.is_refused = False
        self._name = name
        self._backoff = backoff
        self._refused_retry_s = refused_retry_s
        self._clock = clock
        self._next_s = clock()

    @property
    def wait_s(self) -> float:
        """Seconds until the next attempt; 0 when it is due."""
        return max(0.0, self._next_s - self._clock())

    def is_stable(self, since_s: float) -> bool:
        """Whether a stream that works since then has lasted long enough to be a success."""
        return self._clock() - since_s > _STABLE_S

    def progressed(self) -> None:
        """What the stream is for came about: the next break is waited for as the first."""
        self._backoff.reset()

    def settled(self) -> None:
        """The stream works: what was wrong with the last one is over."""
        self.problem, self.is_refused = "", False

    def ended(self, end: StreamEnd, **figures: Any) -> None:
        """A stream ended: wait before the next one.

        Args:
            end: How.
            figures: For the log.
        """
        self._next_s = self._clock() + (self._refused_retry_s if end.is_fatal else self._backoff.next_wait_s())
        if end.reason != self.problem:  # the same trouble again is no news
            report = logger.error if end.is_fatal else logger.warning
            report(f"{self._name} {'refused' if end.is_fatal else 'lost'}", reason=end.reason, **figures)
        self.problem, self.is_refused = end.reason, end.is_fatal
