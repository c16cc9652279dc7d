"""The longest time for which something was asked for and nothing came, over a stretch that somebody watches."""

from __future__ import annotations


class GapMeter:
    """Time in which nobody asked is no gap. Not watched, it only remembers when something came last."""

    def __init__(self) -> None:
        self._last_s = float("-inf")
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

    def note(self, *, asked_s: float, now_s: float) -> None:
        """Something came.

        Args:
            asked_s: When it was asked for, monotonic seconds.
            now_s: When it came.
        """
        if self._is_watched:
            self._longest_s = max(self._longest_s, now_s - max(asked_s, self._last_s))
        self._last_s = now_s
