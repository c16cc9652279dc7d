from __future__ import annotations

import pytest
from fakes_backend import FakeClock, FakeEmbedder

from edge.backends.speed import measure_ms, ranking


def fakes(release, clock, **costs_s):
    return {
        name: FakeEmbedder(release, name, "fp32", clock=clock, cost_s=cost_s, is_wrong=False)
        for name, cost_s in costs_s.items()
    }


def test_each_call_is_timed_by_the_clock(tiny_release):
    clock = FakeClock()
    times_ms = measure_ms(
        fakes(tiny_release, clock, a=0.01, b=0.03), tiny_release.golden.crops, budget_s=0.4, clock=clock
    )
    assert times_ms == {"a": pytest.approx([10.0] * 10), "b": pytest.approx([30.0] * 10)}


def test_a_slow_machine_gets_five_rounds_all_the_same(tiny_release):
    clock = FakeClock()
    times_ms = measure_ms(fakes(tiny_release, clock, a=9.0), tiny_release.golden.crops, budget_s=0.1, clock=clock)
    assert times_ms == {"a": [9000.0] * 5}


def test_one_busy_moment_does_not_change_the_ranking():
    times_ms = {"slow": [3.0, 3.1, 3.0], "fast": [2.0, 90.0, 2.1]}
    assert ranking(times_ms) == [("fast", 2.1), ("slow", 3.0)]


def test_of_equals_the_first_named_wins():
    assert ranking({"b": [1.0], "a": [1.0]})[0] == ("b", 1.0)
