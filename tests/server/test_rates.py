from __future__ import annotations

import pytest

from server.security import rates
from server.security.rates import EdgeRates


def test_within_the_burst_nobody_waits() -> None:
    limits = EdgeRates(rate_hz=10, burst=100)
    assert [limits.take("e1", 50, 0.0) for _ in range(2)] == [0.0, 0.0]


def test_beyond_it_the_wait_keeps_the_rate() -> None:
    limits, now_s, sent = EdgeRates(rate_hz=10, burst=10), 0.0, 0
    while now_s < 100:
        now_s += limits.take("e1", 5, now_s)
        sent += 5
    assert sent == pytest.approx(10 + 10 * 100, abs=5)


def test_a_fast_edge_does_not_slow_another() -> None:
    limits = EdgeRates(rate_hz=1, burst=1)
    assert limits.take("e1", 1000, 0.0) > 0
    assert limits.take("e2", 1, 0.0) == 0


def test_a_rest_gives_the_burst_back_but_no_more() -> None:
    limits = EdgeRates(rate_hz=10, burst=20)
    limits.take("e1", 20, 0.0)
    assert limits.take("e1", 21, 1000.0) == pytest.approx(0.1)


def test_names_of_rested_edges_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_BUCKETS", 2)
    limits = EdgeRates(rate_hz=1, burst=1)
    limits.take("busy", 1000, 0.0)
    for number in range(5):
        limits.take(f"e{number}", 1, 10.0 * number)
    assert limits.take("busy", 0, 50.0) > 0
    assert len(limits._buckets) <= 3
