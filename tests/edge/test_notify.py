from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_source import FakeClock
from fakes_systemd import FakeSystemd
from structlog.testing import capture_logs

from edge.notify import ServiceManager


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[FakeSystemd]:
    systemd = FakeSystemd(tmp_path / "notify")
    yield systemd
    systemd.close()


def test_start_and_stop_are_told_once(systemd: FakeSystemd) -> None:
    service = ServiceManager(systemd.address)
    service.ready()
    service.stopping()
    service.stopping()
    assert systemd.heard() == ["READY=1", "STOPPING=1"]


def test_a_live_pipeline_pings_four_times_within_the_limit(systemd: FakeSystemd) -> None:
    clock = FakeClock()
    service = ServiceManager(systemd.address, watchdog_s=60.0, clock=clock)
    for _ in range(60):
        service.watch(silent_s=0.2)
        clock.now_s += 1.0
    assert systemd.heard() == ["WATCHDOG=1"] * 4


def test_a_hanging_pipeline_does_not_ping_until_it_turns_again(systemd: FakeSystemd) -> None:
    clock = FakeClock()
    service = ServiceManager(systemd.address, watchdog_s=60.0, clock=clock)
    service.watch(silent_s=30.0)
    clock.now_s += 40.0
    service.watch(silent_s=70.0)
    assert systemd.heard() == []
    service.watch(silent_s=0.0)
    assert systemd.heard() == ["WATCHDOG=1"]


def test_an_agent_that_stops_feeds_no_watchdog(systemd: FakeSystemd) -> None:
    service = ServiceManager(systemd.address, watchdog_s=60.0)
    service.stopping()
    service.watch(silent_s=0.0)
    assert systemd.heard() == ["STOPPING=1"]


def test_abstract_sockets_are_understood() -> None:
    systemd = FakeSystemd(f"@osprey-test-{os.getpid()}")
    ServiceManager(systemd.address).ready()
    assert systemd.heard() == ["READY=1"]
    systemd.close()


@pytest.mark.parametrize(
    ("environment", "pings"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 1),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "42"}, 1),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "41"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
    ids=["limit", "ours", "of-another-process", "malformed", "no-watchdog"],
)
def test_the_watchdog_is_taken_from_the_environment(
    systemd: FakeSystemd, environment: dict[str, str], pings: int
) -> None:
    service = ServiceManager.of_environment({"NOTIFY_SOCKET": systemd.address, **environment}, pid=42)
    service.watch(silent_s=0.0)
    assert len(systemd.heard()) == pings


def test_without_systemd_nothing_is_told_and_nothing_is_wrong() -> None:
    with capture_logs() as logs:
        service = ServiceManager(watchdog_s=60.0)
        service.ready()
        service.watch(silent_s=0.0)
    assert logs == []


def test_a_systemd_that_is_gone_costs_a_warning_only() -> None:
    with capture_logs() as logs:
        ServiceManager("/nowhere/notify").ready()
    assert [(entry["log_level"], entry["state"]) for entry in logs] == [("warning", "READY=1")]
