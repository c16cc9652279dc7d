"""Names of tracklets that an edge never uses twice.

A tracklet_id is the moment when the agent started, in milliseconds since the Unix epoch, times 2^22, plus a counter
that all cameras of the agent share. It stays a positive 64-bit number until the year 2039. `Spool.claim_start_ms` makes
sure that each start of an agent has its own moment, even on a machine whose clock is set back when it boots.
"""

from __future__ import annotations

import itertools

_COUNTER_BITS = 22


class TrackletIds:
    """Gives out tracklet ids; safe to call from several threads.

    Args:
        start_ms: When the agent started, milliseconds since the Unix epoch; different at each start.

    Raises:
        ValueError: `start_ms` does not fit.
    """

    def __init__(self, start_ms: int) -> None:
        if not 0 < start_ms < 1 << (63 - _COUNTER_BITS):
            raise ValueError(f"start_ms is {start_ms}, wanted 1 to 2^{63 - _COUNTER_BITS} - 1")
        # `next` on a count is one step of the interpreter, so no two threads get the same number.
        self._numbers = itertools.count(start_ms << _COUNTER_BITS)

    def next_id(self) -> int:
        """A tracklet id that was never given out."""
        return next(self._numbers)
