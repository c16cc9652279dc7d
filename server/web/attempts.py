"""How often somebody may try to log in. Only what failed counts: a right token is never kept waiting by it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

_WINDOW_S = 60.0
_ALL = ""
_ALL_TIMES = 10


class Attempts:
    """Failed logins of the last minute, by address and of all together.

    Args:
        per_minute: Failures that one address may make; ten times as many are taken from all together.
        clock: Monotonic, seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)

    def wait_s(self, address: str) -> float:
        """Until an address may try again; 0 for now."""
        self._forget()
        of_all = self._left_s(_ALL, most=_ALL_TIMES * self._per_minute)
        return max(of_all, self._left_s(address, most=self._per_minute))

    def note_failure(self, address: str) -> None:
        """A login from there failed."""
        for key in (address, _ALL):
            self._failures[key].append(self._clock())

    def _left_s(self, key: str, *, most: int) -> float:
        failures = self._failures.get(key, ())
        return failures[-most] + _WINDOW_S - self._clock() if len(failures) >= most else 0.0

    def _forget(self) -> None:
        before_s = self._clock() - _WINDOW_S
        for key, failures in list(self._failures.items()):
            while failures and failures[0] <= before_s:
                failures.popleft()
            if not failures:
                del self._failures[key]
