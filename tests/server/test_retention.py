from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes_records import SPACES, fill, owners
from fakes_stream import Clock, ServerParts, batch, observation
from sqlalchemy import select

from server.errors import StoppingError, StorageError
from server.retention import Retention, RetentionSettings, cutoff_us
from server.storage.database import StorageSettings, open_database
from server.storage.erasure import RING_US
from server.storage.schema import crop_erasures
from server.storage.sql import SqlRecords
from server.types import Actor, Tracklet

DAY_US = 86_400 * 1_000_000


def retention_of(parts: ServerParts, settings: RetentionSettings) -> Retention:
    return Retention(
        parts.records, settings, spaces=lambda: parts.ingest.spaces, let_go=parts.ingest.let_go, clock_us=parts.clock
    )


@pytest.mark.parametrize(
    ("days", "cutoff"), [(0.0, 0), (2.0, 8 * DAY_US), (0.5, 9.5 * DAY_US)], ids=["never", "days", "half-a-day"]
)
def test_age_decides_what_goes(days: float, cutoff: float) -> None:
    assert cutoff_us(days, 10 * DAY_US) == cutoff


def test_what_aged_out_is_gone_from_memory_too(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation(0, tracklet_id=1), observation(3, tracklet_id=2))])
    parts.clock.now_us += 2 * DAY_US
    parts.ingest.step([batch(3, observation(3, tracklet_id=2, time_s=5))])
    kept = parts.person_of(2)
    retention = retention_of(parts, RetentionSettings(records_days=1))
    assert retention.step() is False
    assert owners(parts.records) == {2: kept}
    assert (parts.ingest.num_persons, parts.ingest.num_provisional) == (0, 1)
    parts.ingest.step([batch(4, observation(0, tracklet_id=1, time_s=9))])  # its edge goes on with it: a new one
    assert sorted(owners(parts.records)) == [2, 3]


def test_edges_are_reminded_of_the_erased_for_as_long_as_a_ring_may_last(tmp_path: Path) -> None:
    records = SqlRecords(open_database(StorageSettings(), data=tmp_path))
    fill(records, {1: 1})
    records.erase_person(1, Actor("ann", "operator"), 70, spaces=SPACES)
    clock = Clock(now_us=70 + RING_US)
    retention = Retention(records, RetentionSettings(), spaces=lambda: SPACES, let_go=lambda _: None, clock_us=clock)
    left = []
    for _ in range(2):
        retention.step()
        with records._engine.connect() as connection:
            left.append(connection.execute(select(crop_erasures)).all())
        clock.now_us += 1
    assert left == [[(1, 1, 70)], []]
    records.close()


def test_steps_are_bounded_and_ask_to_go_on(tmp_path: Path) -> None:
    records = SqlRecords(open_database(StorageSettings(), data=tmp_path))
    fill(records, dict.fromkeys(range(1, 6), 1))
    gone: list[int] = []

    def let_go(tracklets: object) -> None:
        assert isinstance(tracklets, list | tuple)
        gone.extend(item.tracklet_key for item in tracklets if isinstance(item, Tracklet))

    settings = RetentionSettings(records_days=1, step_tracklets=2)
    retention = Retention(records, settings, spaces=lambda: SPACES, let_go=let_go, clock_us=Clock(now_us=2 * DAY_US))
    assert [retention.step() for _ in range(3)] == [True, True, False]
    assert gone == [1, 2, 3, 4, 5]
    records.close()


def test_views_go_before_their_records(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation())])
    parts.clock.now_us += 2 * DAY_US
    retention_of(parts, RetentionSettings(views_days=1, records_days=9)).step()
    assert len(parts.summaries.read_views([1], spaces=parts.ingest.spaces, most_per_person=9).person_ids) == 0
    assert parts.person_of(1) == 1


def test_it_goes_on_after_a_failure_and_ends_with_the_writer(parts: ServerParts) -> None:
    outcomes: list[bool | Exception] = [StorageError("disk full"), True, False, StoppingError("stopping")]

    async def submit(_: Callable[[], bool]) -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    retention = retention_of(parts, RetentionSettings(views_days=1, interval_s=0.001))
    asyncio.run(asyncio.wait_for(retention.run(submit), timeout=10))
    assert outcomes == []


def test_without_an_age_nothing_is_ever_deleted(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation())])
    parts.clock.now_us += 99_999 * DAY_US
    asyncio.run(retention_of(parts, RetentionSettings(crops_days=0)).run(lambda _: pytest.fail("nothing to do")))
    assert parts.person_of(1) == 1
