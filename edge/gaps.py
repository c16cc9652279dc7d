"""The longest time between two events, over a stretch that somebody watches."""

from __future__ import annotations


class GapMeter:
    """Not watched, it only remembers the last event, so that a stretch begins with the gap in which it was started."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._longest_s = 0.0
        self._is_watched = False

    @property
    def longest_ms(self) -> float:
        """Of the stretch that is watched, or of the last one; milliseconds, 0 before there was one."""
        return self._longest_s * 1e3

    def start(self) -> None:
        """A stretch begins."""
        self._longest_s, self._is_watched = 0.0, True

    def stop(self) -> None:
        """It ends."""
        self._is_watched = False

    def note(self, now_s: float) -> None:
        """An event.

        Args:
            now_s: Monotonic seconds.
        """
        if self._is_watched and self._last_s is not None:
            self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s
