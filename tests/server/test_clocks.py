from __future__ import annotations

import pytest
from fakes_stream import observation

from reid.types import SpooledObservation
from server.clocks import EdgeClock

NOW_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000


def at(time_us: int, seq: int = 1) -> SpooledObservation:
    return SpooledObservation(seq, observation(time_s=time_us / 1e6))


def clock(offset_us: int) -> EdgeClock:
    return EdgeClock(sent_at_us=NOW_US - offset_us, now_us=NOW_US, tolerance_s=2.0)


@pytest.mark.parametrize("offset_us", [HOUR_US, -HOUR_US, 50 * 8766 * HOUR_US], ids=["slow", "fast", "years"])
def test_times_of_a_clock_that_is_off_are_moved_to_the_servers(offset_us: int) -> None:
    placed, refused = clock(offset_us).place([at(NOW_US - offset_us)], now_us=NOW_US)
    assert [item.observation.time_us for item in placed] == [NOW_US]
    assert refused == {}


@pytest.mark.parametrize("offset_us", [0, 1_500_000, -1_500_000])
def test_what_the_line_explains_is_not_corrected(offset_us: int) -> None:
    placed, _ = clock(offset_us).place([at(NOW_US)], now_us=NOW_US)
    assert placed[0].observation.time_us == NOW_US


@pytest.mark.parametrize("time_us", [0, NOW_US + HOUR_US], ids=["never set", "future"])
def test_a_time_that_cannot_be_is_refused_alone_with_its_reason(time_us: int) -> None:
    placed, refused = clock(0).place([at(NOW_US, 1), at(time_us, 2)], now_us=NOW_US)
    assert [item.seq for item in placed] == [1]
    assert list(refused) == [2]
    assert "observation 2: time " in refused[2]
    assert "the edge's clock was wrong" in refused[2]


def test_a_time_beyond_all_calendars_is_refused() -> None:
    wild = SpooledObservation(3, observation(time_s=9e12))
    assert "us, wanted" in clock(0).place([wild], now_us=NOW_US)[1][3]


def test_an_edge_that_does_not_say_its_time_is_believed() -> None:
    silent = EdgeClock(sent_at_us=0, now_us=NOW_US, tolerance_s=2.0)
    placed, refused = silent.place([at(5)], now_us=NOW_US)
    assert [item.observation.time_us for item in placed] == [5]
    assert refused == {}


@pytest.mark.parametrize(
    ("former_us", "measured_us", "expected_us"),
    [
        (HOUR_US, HOUR_US + 900_000, HOUR_US),
        (2_100_000, 1_900_000, 2_100_000),
        (0, 1_900_000, 0),
        (HOUR_US, 500_000, 0),
        (HOUR_US, 2 * HOUR_US, 2 * HOUR_US),
    ],
    ids=["line scatters", "at the bound", "never off", "set right", "set again"],
)
def test_a_new_stream_keeps_the_former_correction_while_it_fits(
    former_us: int, measured_us: int, expected_us: int
) -> None:
    renewed = EdgeClock(sent_at_us=NOW_US - measured_us, now_us=NOW_US, tolerance_s=2.0, former_us=former_us)
    assert renewed.offset_us == expected_us
