from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes_records import SPACES
from sqlalchemy import Engine

from server.errors import LeaseLostError, StorageError
from server.storage.lease import Lease, holder_name
from server.storage.records import Changes, Rearrangement
from server.storage.sql import SqlRecords
from server.types import Actor

LEASE_S = 10.0


@dataclass
class SleepyClock:
    """A clock that goes on only while somebody sleeps."""

    now_us: int = 1_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def sleep(self, seconds: float) -> None:
        self.now_us += int(seconds * 1e6)


@pytest.fixture
def clock() -> SleepyClock:
    return SleepyClock()


def lease(engine: Engine, clock: SleepyClock, holder: str) -> Lease:
    return Lease(engine, holder=holder, duration_s=LEASE_S, clock_us=clock, sleep=clock.sleep)


def step(person_id: int) -> Changes:
    return Changes(time_us=9, new_persons=[person_id])


def test_a_server_that_was_superseded_can_write_nothing(engine: Engine, clock: SleepyClock) -> None:
    old, new = lease(engine, clock, "old"), lease(engine, clock, "new")
    old.take()
    superseded = SqlRecords(engine, lease=old)
    superseded.commit(step(1))
    new.take()
    for change in (
        lambda: superseded.commit(step(2)),
        lambda: superseded.commit_rearrangement(Rearrangement(kind="name", actor="a", time_us=1, names={1: "x"})),
        lambda: superseded.erase_person(1, Actor("a", "operator"), 1, spaces=SPACES),
        lambda: superseded.delete_tracklets(spaces=SPACES, before_us=99, limit=9),
    ):
        with pytest.raises(LeaseLostError, match="another server took over the records, with lease 2 after lease 1"):
            change()
    SqlRecords(engine, lease=new).commit(step(2))
    assert superseded.read_directory().next_person_id == 3


def test_the_lease_of_a_dead_server_is_waited_for(engine: Engine, clock: SleepyClock) -> None:
    lease(engine, clock, "dead").take()
    begin_us = clock.now_us
    lease(engine, clock, "next").take()
    assert LEASE_S <= (clock.now_us - begin_us) / 1e6 < LEASE_S + 1


def test_the_lease_of_a_living_server_is_refused(engine: Engine, clock: SleepyClock) -> None:
    living = lease(engine, clock, "host-a:/data")
    living.take()
    second = lease(engine, clock, "host-b:/data")
    second._sleep = lambda seconds: (clock.sleep(seconds), living.renew())[0]
    with pytest.raises(StorageError, match="in use by the server host-a:/data: stop it"):
        second.take()


def test_a_commit_renews_the_lease(engine: Engine, clock: SleepyClock) -> None:
    busy = lease(engine, clock, "busy")
    busy.take()
    clock.sleep(LEASE_S - 1)
    SqlRecords(engine, lease=busy).commit(step(1))
    begin_us = clock.now_us
    lease(engine, clock, "next").take()
    assert (clock.now_us - begin_us) / 1e6 >= LEASE_S


@pytest.mark.parametrize("how", ["restarted", "released"])
def test_nobody_waits_for_a_server_that_comes_back_or_left_in_order(
    how: str, engine: Engine, clock: SleepyClock
) -> None:
    first = lease(engine, clock, "first")
    first.take()
    if how == "released":
        first.release()
    begin_us = clock.now_us
    lease(engine, clock, "first" if how == "restarted" else "second").take()
    assert clock.now_us == begin_us


def test_keeping_ends_when_another_server_takes_over(engine: Engine) -> None:
    clock = SleepyClock()
    old = Lease(engine, holder="old", duration_s=0.03, clock_us=clock, sleep=clock.sleep)
    old.take()
    clock.sleep(1)
    lease(engine, clock, "new").take()
    with pytest.raises(LeaseLostError, match="stop one of them"):
        asyncio.run(asyncio.wait_for(old.keep(), timeout=10))


def test_a_holder_is_named_by_host_and_folder(tmp_path: Path) -> None:
    assert holder_name(tmp_path / "." / "data").endswith(f":{tmp_path}/data")
