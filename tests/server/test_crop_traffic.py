from __future__ import annotations

import pytest
from sqlalchemy import Engine

from server.crops.budget import (
    Allowance,
    EdgeDay,
    EdgeTraffic,
    charge,
    read_day,
    read_traffic,
    us_until_next_day,
    utc_day,
)

DAY_US = 86_400 * 1_000_000


@pytest.mark.parametrize(
    ("spent", "allowed"),
    [
        (0, Allowance(8, 1000)),
        (700, Allowance(3, 300)),
        (950, Allowance(0, 0)),
        (1000, Allowance(0, 0)),
        (5000, Allowance(0, 0)),
    ],
    ids=["fresh", "little-left", "less-than-a-crop", "nothing-left", "overdrawn"],
)
def test_what_is_left_decides_what_may_be_asked(spent: int, allowed: Allowance) -> None:
    traffic = EdgeTraffic(spent_bytes=spent, mean_bytes=100.0)
    assert traffic.allowance(limit_bytes=1000, most_crops=8) == allowed


def test_a_huge_budget_still_fits_the_wire() -> None:
    assert EdgeTraffic().allowance(limit_bytes=1 << 40, most_crops=64) == Allowance(64, (1 << 32) - 1)


def test_days_are_counted_apart_and_crops_measured_together(engine: Engine) -> None:
    with engine.begin() as connection:
        charge(connection, "edge1", day=1, num_crops=2, num_bytes=300)
        charge(connection, "edge1", day=1, num_crops=1, num_bytes=300)
        charge(connection, "edge1", day=2, num_crops=1, num_bytes=200)
        charge(connection, "edge2", day=2, num_crops=1, num_bytes=9)
    assert read_traffic(engine, "edge1", day=1) == EdgeTraffic(600, 200.0)
    assert read_traffic(engine, "edge1", day=3) == EdgeTraffic(0, 200.0)
    assert read_traffic(engine, "new", day=1) == EdgeTraffic()
    assert read_day(engine, day=2) == [EdgeDay("edge1", 1, 200), EdgeDay("edge2", 1, 9)]
    assert read_day(engine, day=3) == []


def test_a_day_ends_at_midnight() -> None:
    assert (utc_day(DAY_US - 1), utc_day(DAY_US)) == (0, 1)
    assert us_until_next_day(3 * DAY_US - 5) == 5
