from __future__ import annotations

from itertools import count

import pytest

from benchmarks.instruments.latency.spread import spread_of, times_in_turn


def test_percentiles_lie_where_they_are_by_definition() -> None:
    spread = spread_of([float(number) for number in range(101)])
    assert (spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.max_ms, spread.count) == (50, 90, 99, 100, 101)


def test_percentiles_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no times"):
        spread_of([])


def test_each_turn_begins_with_a_call_that_does_not_count() -> None:
    ticks, called = count(), []
    calls = {name: lambda name=name: called.append(name) for name in ("a", "b")}
    times_ms = times_in_turn(calls, budget_s=0.0, clock=lambda: float(next(ticks)), turn_s=1.0)
    assert {name: len(times) for name, times in times_ms.items()} == {"a": 3, "b": 3}
    assert called == ["a", "b", *["a", "a", "b", "b"] * 3]


def test_a_slow_call_gets_three_turns_whatever_the_budget() -> None:
    ticks = count(step=1000)
    times_ms = times_in_turn({"a": lambda: None}, budget_s=1.0, clock=lambda: float(next(ticks)))
    assert times_ms["a"] == [1e6] * 3
