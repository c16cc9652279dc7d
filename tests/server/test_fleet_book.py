from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes_fleet import NEW, OLD, FakeEdge

from reid.types import ReleaseRef
from server.releases.fleet import FleetBook
from server.releases.rollout import EdgeView, RolloutSettings


class Listening:
    """A book with one edge that reports every second."""

    def __init__(self) -> None:
        self.now_us = 1_000_000
        self.edge = FakeEdge("edge1")
        self.book = FleetBook(RolloutSettings(baseline_s=10, attending_s=5), clock_us=lambda: self.now_us)

    def run(self, seconds: int) -> EdgeView:
        for _ in range(seconds):
            self.now_us += 1_000_000
            self.edge.live(1)
            self.book.note(self.edge.report())
        return self.view()

    def view(self) -> EdgeView:
        return self.book.fleet().views["edge1"]


@pytest.fixture
def listening() -> Listening:
    return Listening()


def test_rate_is_that_of_the_last_while(listening: Listening) -> None:
    listening.run(30)
    listening.edge.rate_hz = 2.0
    assert listening.run(15).recent.embeddings_per_s == pytest.approx(2.0)


def test_edge_is_away_when_it_was_not_heard(listening: Listening) -> None:
    assert listening.run(3).is_attending
    listening.now_us += 6_000_000
    assert not listening.view().is_attending
    assert listening.book.fleet().silent_s("edge1") == 6.0


def test_nobody_is_silent_for_longer_than_the_server_listens(listening: Listening) -> None:
    listening.now_us += 7_000_000
    assert listening.book.fleet().silent_s("never heard") == 7.0


@pytest.mark.parametrize("what", ["restart", "gap", "release"])
def test_watching_begins_anew_after_a_break(listening: Listening, what: str) -> None:
    assert listening.run(20).watched_s == 19
    if what == "restart":
        listening.edge.restart()
    elif what == "gap":
        listening.now_us += 60_000_000
    else:
        listening.edge.space = NEW
    assert listening.run(2).watched_s == 1


def test_memory_of_an_edge_is_bounded(listening: Listening) -> None:
    for _ in range(5000):
        listening.now_us += 10_000
        listening.book.note(listening.edge.report())
    assert len(listening.book._pages["edge1"].readings) <= 66


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_figures_that_are_none_are_not_known(listening: Listening, value: float) -> None:
    listening.book.note(replace(listening.edge.report(), embed_ms=value, coherence=value))
    assert (listening.view().recent.embed_ms, listening.view().recent.coherence) == (0.0, 0.0)


def test_last_report_is_kept(listening: Listening) -> None:
    listening.run(2)
    assert listening.book.reports()["edge1"].release == ReleaseRef(name="tiny", version="1", space=OLD)
