"""Clocks of edges: how far one is off, and what becomes of its times. Pure.

An edge says at hello what its clock shows. When that is further off than the line can explain, all times of the stream
are moved by the difference, so that matching compares what happened at one moment. Times that are impossible even then
(before 2000, as of a clock that was never set, or in the future) cannot be placed: their observations are refused, each
with its reason. An edge that does not say what its clock shows is believed.

Each hello measures anew, and the line makes each measure a little different. While a server runs, what it measured last
stays in force as long as the new measure agrees within the tolerance: a tracklet that goes on after a broken line does
not jump. After a restart of the server the first measure counts, so that times of one tracklet may then differ by the
tolerance at most. What is stored keeps its time: a repeat is dropped by its sequence number, whatever its time is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reid.types import SpooledObservation
from server.moments import moment

_YEAR_2000_US = 946_684_800_000_000
_FUTURE_US = 60_000_000
"""A time further ahead of the server's clock than this is impossible."""


class EdgeClock:
    """The clock behind one stream.

    Args:
        sent_at_us: What it showed at hello, microseconds since the Unix epoch; 0 if the edge did not say.
        now_us: The server's clock then.
        tolerance_s: Differences up to this are put down to the line.
        former_us: `offset_us` of the edge's stream before, kept if it differs no further; 0 for none.

    Attributes:
        offset_us: What is added to the times of the stream.
    """

    def __init__(self, *, sent_at_us: int, now_us: int, tolerance_s: float, former_us: int = 0) -> None:
        self._is_known = sent_at_us != 0
        offset_us = now_us - sent_at_us if self._is_known else 0
        fitting = (known_us for known_us in (former_us, 0) if abs(offset_us - known_us) <= tolerance_s * 1e6)
        self.offset_us = next(fitting, offset_us)

    def place(
        self, observations: Sequence[SpooledObservation], *, now_us: int
    ) -> tuple[list[SpooledObservation], dict[int, str]]:
        """Move observations to the server's time.

        Returns:
            Those that can be placed, and by sequence number why others are refused.
        """
        placed: list[SpooledObservation] = []
        refused: dict[int, str] = {}
        for item in observations:
            time_us = item.observation.time_us + self.offset_us
            if self._is_known and not _YEAR_2000_US <= time_us <= now_us + _FUTURE_US:
                refused[item.seq] = _reason(item.seq, time_us, now_us)
            elif self.offset_us:
                placed.append(SpooledObservation(item.seq, replace(item.observation, time_us=time_us)))
            else:
                placed.append(item)
        return placed, refused


def _reason(seq: int, time_us: int, now_us: int) -> str:
    return (
        f"observation {seq}: time {moment(time_us)}, wanted 2000-01-01 to {moment(now_us)} (the server's clock): "
        "the edge's clock was wrong; let it keep time (NTP)"
    )
