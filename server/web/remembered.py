"""Figures that take long to gather: shown as they were a moment ago, and gathered anew behind the page's back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from reid.errors import OspreyError

logger = structlog.get_logger(__name__)

T = TypeVar("T")


class Remembered(Generic[T]):
    """A figure, at most so old when nobody asks for long. Any thread may ask.

    Args:
        gather: Gathers it; only the first to ask waits for it. Later failures are logged, and the figure stays.
        every_s: An older one is gathered anew, in a thread.
        clock: Monotonic, seconds.
    """

    def __init__(self, gather: Callable[[], T], *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gather = gather
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._gathering: threading.Thread | None = None
        self._latest: tuple[float, T] | None = None

    def get(self) -> T:
        """The figure.

        Raises:
            OspreyError: It could not be gathered yet.
        """
        with self._lock:
            if self._latest is None:
                self._latest = (self._clock(), self._gather())
            gathered_s, value = self._latest
            is_idle = self._gathering is None or not self._gathering.is_alive()
            if self._clock() - gathered_s >= self._every_s and is_idle:
                self._gathering = threading.Thread(target=self._renew, daemon=True)
                self._gathering.start()
        return value

    def _renew(self) -> None:
        try:
            value = self._gather()
        except (OspreyError, OSError) as error:
            logger.warning("a figure of the console is old", error=str(error))
            return
        with self._lock:
            self._latest = (self._clock(), value)
