from __future__ import annotations

from server.counts import StreamCounts
from server.web.pages.overview import latencies_chart, rates_chart
from server.web.rates import RateHistory, Rates


class Time:
    now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


def test_rates_are_those_since_the_step_before() -> None:
    counts, time = StreamCounts(), Time()
    counts.of("one").acknowledged = 100
    history = RateHistory(counts, lambda: 3, time)
    counts.of("one").acknowledged, counts.of("new").acknowledged = 150, 20
    counts.acknowledgement.add(0.004)
    time.now_us += 5_000_000
    history.step()
    (rates,) = history.history()
    assert (rates.time_us, rates.per_s, rates.num_queued) == (6_000_000, {"one": 10.0, "new": 4.0}, 3)
    assert rates.p50_ms is not None
    assert 2.5 <= rates.p50_ms <= 5


def test_a_quiet_span_has_no_latency() -> None:
    counts, time = StreamCounts(), Time()
    counts.acknowledgement.add(1.0)
    history = RateHistory(counts, lambda: 0, time)
    time.now_us += 5_000_000
    history.step()
    assert history.history()[0].p95_ms is None


def test_a_clock_that_was_set_back_is_no_rate() -> None:
    time = Time()
    history = RateHistory(StreamCounts(), lambda: 0, time)
    time.now_us -= 1
    history.step()
    assert not history.history()


def rates_of(per_s: dict[str, float]) -> Rates:
    return Rates(time_us=2_000_000, per_s=per_s, p50_ms=1.0, p95_ms=None, num_queued=0)


def test_a_chart_has_the_busiest_edges_and_the_rest_in_one() -> None:
    spec = rates_chart([rates_of({f"edge-{number:02}": float(number) for number in range(11)})])
    labels = [series["label"] for series in spec["series"]]
    assert labels == [*(f"edge-{number:02}" for number in range(3, 11)), "3 others"]
    assert spec["series"][-1]["values"] == [3.0]
    assert spec["x"]["values"] == [2.0]


def test_a_chart_leaves_gaps_where_nothing_was_measured() -> None:
    spec = latencies_chart([rates_of({})])
    assert [series["values"] for series in spec["series"]] == [[1.0], [None]]
