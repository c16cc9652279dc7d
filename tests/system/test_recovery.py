"""Promise: no acknowledged embedding is lost and none is counted twice, whatever is killed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from processes import EdgeProcess, ServerProcess, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SOME = 20
"""Stored observations after which something is killed: the run is then in full swing."""


def test_an_undisturbed_run_stores_what_it_acknowledges(
    server: ServerProcess, start_edge: Callable[[], EdgeProcess]
) -> None:
    report = start_edge().report()
    assert report["acknowledged"] == report["spooled"] > SOME
    assert server.num_stored() == report["acknowledged"]
    assert server.stop() == 0


def test_a_server_killed_in_mid_run_loses_and_repeats_nothing(
    server: ServerProcess, start_edge: Callable[[], EdgeProcess]
) -> None:
    edge = start_edge()
    wait_until(lambda: server.num_stored() >= SOME, "some observations are stored")
    server.kill()
    at_kill = server.stored_sequences()
    server.start()
    report = edge.report()
    stored = server.stored_sequences()
    assert stored == list(range(1, report["spooled"] + 1))
    assert stored[: len(at_kill)] == at_kill
    assert server.num_stored() == report["acknowledged"] == report["spooled"]


def test_persons_are_the_same_after_the_server_was_killed(
    server: ServerProcess, start_edge: Callable[[], EdgeProcess]
) -> None:
    start_edge().report()
    before = server.person_of_tracklets()
    server.kill()
    server.start()
    assert server.person_of_tracklets() == before
    assert len(set(before.values())) > 1


def test_an_edge_killed_in_mid_run_sends_what_it_had_and_repeats_nothing(
    server: ServerProcess, start_edge: Callable[[], EdgeProcess]
) -> None:
    edge = start_edge()
    wait_until(lambda: server.num_stored() >= SOME, "some observations are stored")
    edge.kill()
    at_kill = server.num_stored()
    report = start_edge().report()
    stored = server.stored_sequences()
    assert report["remaining"] == 0
    # Without a gap: what the first run made durable and had not sent came with the second.
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) >= at_kill + report["spooled"]
    assert server.num_stored() == len(stored)


def test_a_server_that_is_down_for_the_whole_run_gets_everything_later(
    server: ServerProcess, start_edge: Callable[[], EdgeProcess]
) -> None:
    server.kill()
    edge = start_edge()
    wait_until(lambda: edge.spool.is_file(), "the spool exists")
    server.start()
    report = edge.report()
    assert server.num_stored() == report["spooled"] == report["acknowledged"] > SOME
