"""What went wrong at a camera and was survived: counted by kind, logged at most once a minute each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

logger = structlog.get_logger(__name__)

_LOG_INTERVAL_S = 60.0


class Faults:
    """Counts the faults of one part of the agent. One thread writes; any may read.

    Args:
        where: Logged with each fault: a camid or a part's name.
        clock: Monotonic seconds.

    Attributes:
        counts: How many, by kind.
    """

    def __init__(self, where: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._where = where
        self._clock = clock
        self._logged_s: dict[str, float] = {}

    def note(self, kind: str, error: Exception, *, number: int = 1) -> None:
        """Count a fault, and log it unless one of its kind was logged within the last minute.

        Args:
            kind: One word.
            error: What happened.
            number: How many things were lost by it.
        """
        self.counts[kind] += number
        now_s = self._clock()
        if now_s - self._logged_s.get(kind, -_LOG_INTERVAL_S) >= _LOG_INTERVAL_S:
            self._logged_s[kind] = now_s
            logger.warning("fault", camid=self._where, kind=kind, so_far=self.counts[kind], reason=str(error))
