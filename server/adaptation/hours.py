"""Quiet hours: spans of the day in which no run begins. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

_SPAN = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_DAY_MIN = 24 * 60


class DaySpan(NamedTuple):
    """A part of every day, minutes since midnight, the end outside; over midnight if it ends before it begins."""

    start_min: int
    end_min: int

    def covers(self, minute: int) -> bool:
        """True for a minute of the day within it."""
        if self.start_min <= self.end_min:
            return self.start_min <= minute < self.end_min
        return minute >= self.start_min or minute < self.end_min


def read_spans(text: str) -> tuple[DaySpan, ...]:
    """Read spans such as `07:00-12:30, 22:00-06:00`.

    Raises:
        ValueError: It is no such list.
    """
    return tuple(map(_read_span, text.split(","))) if text.strip() else ()


def is_quiet(spans: tuple[DaySpan, ...], time_us: int, zone: ZoneInfo) -> bool:
    """True if a moment lies in one of the spans.

    Args:
        spans: Of each day.
        time_us: Since the Unix epoch.
        zone: Whose midnight.
    """
    local = datetime.fromtimestamp(time_us / 1e6, zone)
    return any(span.covers(local.hour * 60 + local.minute) for span in spans)


def _read_span(text: str) -> DaySpan:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"wanted spans such as 07:00-12:30, 22:00-06:00, came {text.strip()!r}")
    hours = list(map(int, match.groups()))
    span = DaySpan(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])
    if max(span) > _DAY_MIN or max(hours[1], hours[3]) > 59 or span.start_min == span.end_min:
        raise ValueError(f"wanted two different times of the day, 00:00 to 24:00, came {text.strip()!r}")
    return span
