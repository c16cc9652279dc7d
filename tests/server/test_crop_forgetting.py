from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from fakes_crop_edges import answer, connected, exchange_of, honest, observe, run, store_of, wanted
from fakes_stream import ServerParts
from structlog.testing import capture_logs

from server.crops import forgetting
from server.crops.answers import CropAnswer, CropRequest
from server.crops.exchange import CollectReport, CropExchange
from server.crops.settings import CropSettings
from server.crops.source import SiteCrops
from server.crops.store import CropStore
from server.errors import StorageError
from server.types import Actor, CropName, Spool

ANN = Actor("ann", "operator")


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    """Tracklet 1 has observations 1 to 3 of edge1, tracklet 2 has 4 to 6; each is a person."""
    observe(parts, [[1, 2, 3], [4, 5, 6]])
    return parts


@pytest.fixture
def store(site: ServerParts) -> CropStore:
    return store_of(site)


def erase(site: ServerParts, person_id: int = 1) -> None:
    site.records.erase_person(person_id, ANN, site.clock.now_us, spaces=site.ingest.spaces)


def obedient(request: CropRequest) -> Iterator[CropAnswer]:
    """Does as it is told."""
    yield from (answer(request, seq, "forgotten") for seq in request.forget_seqs)
    yield from honest(request)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def told(requests: list[CropRequest]) -> list[tuple[int, ...]]:
    return [request.forget_seqs for request in requests if request.forget_seqs]


def test_who_was_erased_while_the_edge_was_away_is_forgotten_when_it_comes(site: ServerParts, store: CropStore) -> None:
    erase(site)
    again = site.reopen()

    async def main() -> list[CropRequest]:
        async with connected(exchange_of(again), obedient) as requests:
            await until(lambda: not store_of(again).to_forget(1, 9))
            return list(requests)

    (request,) = run(main())
    assert (request.spool_id, request.seqs, request.forget_seqs, request.max_bytes) == ("spool1", (), (1, 2, 3), 0)


def test_an_edge_that_is_there_is_told_at_once(site: ServerParts, store: CropStore) -> None:
    async def main() -> list[tuple[int, ...]]:
        exchange = exchange_of(site)
        site.records.on_deleted = SiteCrops(
            site.engine,
            store,
            exchange,
            CropSettings(),
            spaces=lambda: site.ingest.spaces,
            read_links=site.records.read_links,
            snapshots=lambda: [],
            clock_us=site.clock,
        ).forget
        async with connected(exchange, obedient) as requests:
            await asyncio.sleep(0.05)
            assert requests == []
            await asyncio.to_thread(erase, site)
            await until(lambda: not store.to_forget(1, 9))
            await asyncio.to_thread(erase, site, 2)
            await until(lambda: len(told(requests)) == 2)
            return told(requests)

    assert run(main()) == [(1, 2, 3), (4, 5, 6)]


def test_what_an_edge_did_not_answer_is_said_again_at_its_next_connection(site: ServerParts, store: CropStore) -> None:
    erase(site)

    def breaking(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, request.forget_seqs[0], "forgotten")
        raise ConnectionError

    async def main() -> list[tuple[int, ...]]:
        async with connected(exchange_of(site), breaking) as requests:
            await until(lambda: not store.to_forget(1, 9))
            return told(requests)

    assert run(main()) == [(1, 2, 3), (2, 3), (3,)]


def test_a_great_many_are_told_in_turn(site: ServerParts, store: CropStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_MOST_SEQS", 2)
    erase(site)

    async def main() -> list[tuple[int, ...]]:
        async with connected(exchange_of(site), obedient) as requests:
            await until(lambda: not store.to_forget(1, 9))
            return told(requests)

    assert run(main()) == [(1, 2), (3,)]


def test_collecting_does_not_wait_for_forgetting(site: ServerParts, store: CropStore) -> None:
    """The edge answers for crops, and never says that it forgot; nor is a budget left that forgetting could need."""
    erase(site)

    async def main() -> tuple[CollectReport, CropExchange]:
        exchange = exchange_of(site)
        async with connected(exchange, honest):
            return await exchange.collect(wanted(4, 5, tracklet=2), deadline_s=5), exchange

    report, exchange = run(main())
    assert (report.num_received, exchange.lies.counts) == (2, {})
    assert store.to_forget(1, 9) == [1, 2, 3]


def test_forgetting_needs_no_budget(site: ServerParts, store: CropStore) -> None:
    erase(site)

    async def main() -> None:
        async with connected(exchange_of(site, CropSettings(daily_limit_mib=1e-9)), obedient):
            await until(lambda: not store.to_forget(1, 9))

    run(main())
    assert store.traffic("edge1", day=0).spent_bytes == 0


@pytest.mark.parametrize("status", ["unknown", "ok", "unspecified"])
def test_only_the_right_answer_counts(site: ServerParts, store: CropStore, status: str) -> None:
    erase(site)

    def lying(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, 77, "forgotten")
        yield replace(answer(request, 1, "forgotten"), status=status)
        yield answer(request, 2, "forgotten")

    async def main() -> CropExchange:
        exchange = exchange_of(site)
        async with connected(exchange, lying) as requests:
            await until(lambda: len(exchange.lies.counts) == 1 and exchange.lies.counts["edge1"] == 2)
            assert len(requests) == 1
            return exchange

    run(main())
    assert store.to_forget(1, 9) == [1, 2, 3]  # of a line that is still open, nothing is noted before all is said


def test_another_edge_or_spool_is_told_nothing(site: ServerParts, store: CropStore) -> None:
    erase(site)

    async def main() -> list[CropRequest]:
        exchange = exchange_of(site)
        async with (
            connected(exchange, obedient, Spool("edge1", "newer")) as one,
            connected(exchange, obedient, Spool("edge2", "spool1")) as other,
        ):
            await asyncio.sleep(0.1)
            return [*one, *other]

    assert run(main()) == []


def test_records_that_fail_are_asked_again(
    site: ServerParts, store: CropStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_LOOK_S", 0.01)
    erase(site)
    look, failures = store.to_forget, [StorageError("the disk is away"), StorageError("the disk is away")]

    def failing(spool_key: int, limit: int) -> list[int]:
        if failures:
            raise failures.pop()
        return look(spool_key, limit)

    monkeypatch.setattr(store, "to_forget", failing)

    async def main() -> None:
        async with connected(exchange_of(site, store=store), obedient):
            await until(lambda: not look(1, 9))

    with capture_logs() as logs:
        run(main())
    assert [entry["error"] for entry in logs if entry["log_level"] == "warning"] == ["the disk is away"] * 2


def test_a_confirmation_that_nobody_waits_for_changes_nothing(site: ServerParts, store: CropStore) -> None:
    erase(site)
    assert store.note_forgotten([CropName(1, 2), CropName(1, 99)]) == [CropName(1, 2)]
    assert store.to_forget(1, 9) == [1, 3]
