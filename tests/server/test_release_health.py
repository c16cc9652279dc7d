from __future__ import annotations

import pytest

from server.releases.health import (
    Counters,
    Drift,
    Health,
    HealthSettings,
    drift,
    health_between,
    illness,
    too_many_faults,
)

WELL = Health(embeddings_per_s=2.0, fault_share=0.0, embed_ms=10.0, coherence=0.8)
BOUNDS = HealthSettings()


def changed(**values: float) -> Health:
    return WELL.model_copy(update=values)


def judged(after: Health, *, before: Health = WELL, rest: Drift | None = None, over_s: float = 600.0) -> str:
    return illness(before, after, rest or Drift(), over_s=over_s, settings=BOUNDS)


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (changed(embeddings_per_s=0.3), "embeddings/s"),
        (changed(embed_ms=21.0), "21.0 ms"),
        (changed(coherence=0.69), "0.69 similar"),
        (changed(coherence=0.999), "look the same"),
    ],
)
def test_each_bound_is_kept(after: Health, text: str) -> None:
    assert text in judged(after)


@pytest.mark.parametrize(
    "after",
    [
        changed(embeddings_per_s=0.5),
        changed(embed_ms=19.0),
        changed(coherence=0.71),
        changed(coherence=0.95),
        changed(embed_ms=0.0, coherence=0.0),
    ],
    ids=["rate", "time", "coherence", "better", "unknown"],
)
def test_within_the_bounds_nothing_is_said(after: Health) -> None:
    assert judged(after) == ""


def test_a_fast_batch_is_never_too_slow() -> None:
    fast = changed(embed_ms=1.0)
    assert judged(changed(embed_ms=4.9), before=fast) == ""
    assert "5.1 ms" in judged(changed(embed_ms=5.1), before=fast)


def test_little_traffic_says_nothing() -> None:
    assert judged(changed(embeddings_per_s=0.0), over_s=20.0) == ""


def test_what_the_others_show_too_is_taken_off() -> None:
    night = Drift(rate_ratio=0.2, coherence=-0.2)
    assert judged(changed(embeddings_per_s=0.3, coherence=0.55), rest=night) == ""
    assert judged(changed(embeddings_per_s=0.05), rest=night)
    assert judged(changed(coherence=0.45), rest=night)


def test_a_better_rest_is_no_excuse_for_more() -> None:
    assert judged(changed(coherence=0.75), rest=Drift(coherence=0.2)) == ""


def test_drift_is_the_median_and_the_sum_of_rates() -> None:
    pairs = [(WELL, changed(embeddings_per_s=1.0, coherence=value)) for value in (0.7, 0.75, 0.2)]
    assert drift(pairs) == Drift(rate_ratio=0.5, coherence=pytest.approx(-0.1))  # type: ignore[arg-type]
    assert drift([]) == Drift()


def test_faults_are_a_share_of_what_was_done() -> None:
    start = Counters(time_us=0, embeddings=100, faults=5)
    assert too_many_faults(WELL, start, Counters(time_us=1, embeddings=190, faults=15), BOUNDS).startswith("10%")
    assert too_many_faults(WELL, start, Counters(time_us=1, embeddings=199, faults=6), BOUNDS) == ""
    assert too_many_faults(WELL, start, Counters(time_us=1, embeddings=100, faults=9), BOUNDS) == ""
    before = changed(fault_share=0.06)
    assert too_many_faults(before, start, Counters(time_us=1, embeddings=190, faults=15), BOUNDS) == ""


def test_health_between_two_readings() -> None:
    start, end = Counters(time_us=0, embeddings=0, faults=0), Counters(time_us=10_000_000, embeddings=30, faults=10)
    health = health_between(start, end, embed_ms=3.0, coherence=0.5)
    assert health == Health(embeddings_per_s=3.0, fault_share=0.25, embed_ms=3.0, coherence=0.5)
    assert health_between(start, start, embed_ms=0, coherence=0).embeddings_per_s == 0.0
