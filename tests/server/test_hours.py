from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from server.adaptation.hours import is_quiet, read_spans

UTC = ZoneInfo("UTC")


def at(hour: int, minute: int = 0, *, zone: ZoneInfo = UTC) -> int:
    return int(datetime(2026, 7, 1, hour, minute, tzinfo=zone).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("hour", "minute", "quiet"),
    [(6, 59, False), (7, 0, True), (12, 29, True), (12, 30, False), (22, 0, True), (3, 0, True), (6, 0, False)],
)
def test_spans_hold_every_day_their_end_outside_and_over_midnight(hour: int, minute: int, quiet: bool) -> None:
    assert is_quiet(read_spans("07:00-12:30, 22:00-06:00"), at(hour, minute), UTC) is quiet


def test_no_spans_are_never_quiet() -> None:
    assert not any(is_quiet(read_spans(" "), at(hour), UTC) for hour in range(24))


def test_hours_are_those_of_the_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert is_quiet(read_spans("08:00-09:00"), at(8, 30, zone=berlin), berlin)
    assert not is_quiet(read_spans("08:00-09:00"), at(8, 30), berlin)


@pytest.mark.parametrize("text", ["7-8", "07:00-25:00", "07:60-08:00", "07:00-07:00", "07:00-08:00,"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        read_spans(text)
