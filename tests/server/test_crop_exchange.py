from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes_crop_edges import (
    Behaviour,
    answer,
    connected,
    exchange_of,
    files_under,
    honest,
    jpeg,
    observe,
    put,
    run,
    store_of,
    wanted,
)
from fakes_stream import ServerParts, batch, observation
from structlog.testing import capture_logs

from server.crops.answers import CropAnswer, CropRequest
from server.crops.exchange import CollectReport, CropExchange
from server.crops.selection import WantedCrop
from server.crops.settings import CropSettings
from server.errors import StoppingError, StorageError
from server.types import Actor, Spool

MIB = 1 << 20
OTHER = Spool("edge2", "spool2")


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    """Tracklet 1 has observations 1 to 9 of edge1; tracklet 2 has 1 to 3 of edge2."""
    observe(parts, [range(1, 10)])
    for seq in range(1, 4):
        parts.ingest.step([batch(seq, observation(3, camid="cam9", tracklet_id=5, time_s=seq), spool=OTHER)])
    return parts


def collect(
    exchange: CropExchange, behave: Behaviour = honest, *seqs: int, deadline_s: float = 20.0
) -> tuple[CollectReport, list[CropRequest]]:
    """Ask the one edge that is there."""

    async def main() -> tuple[CollectReport, list[CropRequest]]:
        async with connected(exchange, behave) as requests:
            return await exchange.collect(wanted(*(seqs or (1, 2, 3))), deadline_s=deadline_s), requests

    found: tuple[CollectReport, list[CropRequest]] = run(main())
    return found


def test_crops_come_and_are_kept(site: ServerParts) -> None:
    report, requests = collect(exchange_of(site))
    assert (report.num_wanted, report.num_received, report.missing) == (3, 3, ())
    assert files_under(site.data / "crops") == ["1.jpg", "2.jpg", "3.jpg"]
    assert [(request.spool_id, request.seqs) for request in requests] == [("spool1", (1, 2, 3))]
    assert report.num_bytes == store_of(site).traffic("edge1", day=0).spent_bytes > 0


def test_what_is_here_is_not_asked_again(site: ServerParts) -> None:
    put(store_of(site), 1, 1, 3)
    report, requests = collect(exchange_of(site))
    assert report.num_received == 3
    assert [request.seqs for request in requests] == [(2,)]


def test_requests_are_small(site: ServerParts) -> None:
    report, requests = collect(exchange_of(site, CropSettings(request_crops=2)), honest, 1, 2, 3, 4, 5)
    assert report.num_received == 5
    assert [len(request.seqs) for request in requests] == [2, 2, 1]


def test_expired_and_unknown_crops_are_missing(site: ServerParts) -> None:
    def forgetful(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, 1, "expired")
        yield answer(request, 2, "unknown")
        yield answer(request, 3)

    report, _ = collect(exchange_of(site), forgetful)
    assert (report.num_received, report.num_expired, len(report.missing)) == (1, 2, 2)
    assert report.reasons == {"expired": 1, "unknown": 1}


def test_an_edge_that_comes_late_is_waited_for(site: ServerParts) -> None:
    async def main() -> CollectReport:
        exchange = exchange_of(site)
        collecting = asyncio.create_task(exchange.collect(wanted(1), deadline_s=5))
        await asyncio.sleep(0.05)
        async with connected(exchange):
            return await collecting

    assert run(main()).num_received == 1


def test_an_edge_that_never_comes_holds_nobody_up(site: ServerParts) -> None:
    """Edge 2 is away: what edge 1 has is here all the same."""

    async def main() -> CollectReport:
        exchange = exchange_of(site)
        async with connected(exchange):
            return await exchange.collect([*wanted(1, 2), WantedCrop(2, 2, 1, 0)], deadline_s=0.3)

    report = run(main())
    assert report.num_received == 2
    assert (report.reasons, report.missing) == ({"offline": 1}, (WantedCrop(2, 2, 1, 0),))


def test_what_somebody_waits_for_comes_beside_a_collection_that_waits(site: ServerParts) -> None:
    async def main() -> CollectReport:
        exchange = exchange_of(site)
        collecting = asyncio.create_task(exchange.collect([WantedCrop(2, 2, 1, 0)], deadline_s=5))
        async with connected(exchange):
            await asyncio.sleep(0.02)
            report = await exchange.fetch(wanted(1, 2), deadline_s=1)
        assert not collecting.done()
        collecting.cancel()
        return report

    assert run(main()).num_received == 2


def test_an_edge_has_one_request_at_a_time_whoever_asks(site: ServerParts) -> None:
    async def main() -> list[CollectReport]:
        exchange = exchange_of(site, CropSettings(request_crops=1, answer_timeout_s=0.2))
        async with connected(exchange):
            reports = (exchange.collect(wanted(1, 2), deadline_s=5), exchange.fetch(wanted(3, 4), deadline_s=5))
            return list(await asyncio.gather(*reports))

    assert [(report.num_received, len(report.missing)) for report in run(main())] == [(2, 0), (2, 0)]


def test_a_line_that_breaks_in_mid_request_goes_on_later(site: ServerParts) -> None:
    async def main() -> tuple[CollectReport, list[tuple[int, ...]]]:
        exchange = exchange_of(site)
        asked: list[tuple[int, ...]] = []

        def breaking(request: CropRequest) -> Iterator[CropAnswer]:
            asked.append(request.seqs)
            yield answer(request, request.seqs[0])
            if len(asked) == 1:
                raise ConnectionError

            yield from honest(replace(request, seqs=request.seqs[1:]))

        async with connected(exchange, breaking):
            return await exchange.collect(wanted(1, 2, 3), deadline_s=5), asked

    report, asked = run(main())
    assert (report.num_received, asked) == (3, [(1, 2, 3), (2, 3)])


def test_a_silent_edge_is_given_up(site: ServerParts) -> None:
    report, requests = collect(exchange_of(site, CropSettings(answer_timeout_s=0.05)), lambda _: ())
    assert (report.num_received, report.reasons) == (0, {"unanswered": 3})
    assert len(requests) == 3


def test_a_days_budget_is_not_passed(site: ServerParts) -> None:
    """Each crop is some 2 KiB, and the first request is sized by a guess of 8 KiB."""
    settings = CropSettings(daily_limit_mib=20_000 / MIB, request_crops=64, answer_timeout_s=0.2)
    report, requests = collect(exchange_of(site, settings), honest, *range(1, 10), deadline_s=0.3)
    assert 0 < report.num_bytes <= 20_000
    assert report.reasons.get("over_budget", 0) == 9 - report.num_received
    assert all(request.max_bytes <= 20_000 for request in requests)
    assert report.num_bytes == store_of(site).traffic("edge1", day=0).spent_bytes


def test_the_next_day_has_a_budget_of_its_own(site: ServerParts) -> None:
    site.clock.now_us = 86_400 * 1_000_000 - 100_000
    settings = CropSettings(daily_limit_mib=10_000 / MIB)

    async def main() -> CollectReport:
        exchange = exchange_of(site, settings)
        async with connected(exchange):
            collecting = asyncio.create_task(exchange.collect(wanted(*range(1, 10)), deadline_s=5))
            while not store_of(site).traffic("edge1", day=0).spent_bytes:
                await asyncio.sleep(0.01)
            for _ in range(4):
                await asyncio.sleep(0.15)
                site.clock.now_us += 86_400 * 1_000_000
            return await collecting

    assert run(main()).num_received == 9


def test_an_edge_that_may_send_no_more_is_not_asked_again_that_day(site: ServerParts) -> None:
    def thrifty(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, request.seqs[0])
        yield from (answer(request, seq, "over_budget") for seq in request.seqs[1:])

    report, requests = collect(exchange_of(site), thrifty, deadline_s=0.3)
    assert (report.num_received, report.reasons, len(requests)) == (1, {"over_budget": 2}, 1)


def test_lies_are_refused_one_by_one(site: ServerParts) -> None:
    def lying(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, 77)
        yield answer(request, 1, content=b"no jpeg")
        yield answer(request, 2, content=jpeg(width_px=4096, height_px=4096))
        yield answer(request, 3)

    exchange = exchange_of(site)
    report, _ = collect(exchange, lying)
    assert (report.num_received, report.num_refused, exchange.lies.counts) == (1, 2, {"edge1": 3})
    assert files_under(site.data / "crops") == ["3.jpg"]


def test_whoever_goes_on_lying_is_cut_off(site: ServerParts) -> None:
    def flooding(request: CropRequest) -> Iterator[CropAnswer]:
        return (answer(request, 1000 + number) for number in range(1000))

    exchange = exchange_of(site, CropSettings(max_lies=5, answer_timeout_s=0.2))
    with capture_logs() as logs:
        report, requests = collect(exchange, flooding)
    assert (report.reasons, len(requests)) == ({"unanswered": 3}, 3)
    assert exchange.lies.counts == {"edge1": 3 * 6}
    assert len([entry for entry in logs if entry["log_level"] == "warning"]) == 1
    assert files_under(site.data / "crops") == []


def test_a_flood_of_bytes_ends_the_stream_at_once(site: ServerParts) -> None:
    def heavy(request: CropRequest) -> Iterator[CropAnswer]:
        return (answer(request, seq, content=bytes(60_000)) for seq in request.seqs)

    settings = CropSettings(daily_limit_mib=50_000 / MIB, answer_timeout_s=0.2)
    report, requests = collect(exchange_of(site, settings), heavy, deadline_s=0.3)
    assert (len(requests), report.num_received) == (1, 0)
    assert report.num_bytes == 60_060  # charged, and nothing more was read


def test_what_nobody_asked_for_is_not_kept(site: ServerParts) -> None:
    async def main() -> CropExchange:
        exchange = exchange_of(site)
        line = await exchange.connect("edge1", "spool1")
        request = CropRequest(request_id="r1", spool_id="spool1", seqs=(1,), max_bytes=1 << 20)
        for _ in range(20):
            line.take(answer(request, 1))
        assert line.is_ended
        return exchange

    assert run(main()).lies.counts == {"edge1": 9}
    assert not (site.data / "crops").exists()


def test_crops_of_a_spool_that_is_gone_are_unknown(site: ServerParts) -> None:
    async def main() -> CollectReport:
        exchange = exchange_of(site)
        async with connected(exchange, honest, Spool("edge1", "newer")):
            return await exchange.collect([*wanted(1), WantedCrop(1, 99, 1, 0)], deadline_s=1)

    assert run(main()).reasons == {"unknown": 2}


def test_the_crops_of_someone_erased_meanwhile_are_not_kept(site: ServerParts) -> None:
    def erasing(request: CropRequest) -> Iterator[CropAnswer]:
        site.records.erase_person(1, Actor("ann", "operator"), 5, spaces=site.ingest.spaces)
        return honest(request)

    report, _ = collect(exchange_of(site), erasing)
    assert (report.num_received, report.reasons) == (0, {"erased": 3})
    assert files_under(site.data / "crops") == []


def test_a_stopped_collection_keeps_and_charges_what_came(site: ServerParts) -> None:
    def slow(request: CropRequest) -> Iterator[CropAnswer]:
        yield answer(request, 1)

    async def main() -> None:
        exchange = exchange_of(site, CropSettings(answer_timeout_s=9))
        async with connected(exchange, slow):
            collecting = asyncio.create_task(exchange.collect(wanted(1, 2), deadline_s=9))
            await asyncio.sleep(0.1)
            collecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await collecting

    run(main())
    assert files_under(site.data / "crops") == ["1.jpg"]
    assert store_of(site).traffic("edge1", day=0).spent_bytes > 0


def test_a_full_disk_ends_the_collection(site: ServerParts) -> None:
    (site.data / "crops").write_text("a file where a folder is wanted")
    with pytest.raises(StorageError, match="cannot be written"):
        collect(exchange_of(site))


def test_progress_is_told(site: ServerParts) -> None:
    async def main() -> list[int]:
        exchange = exchange_of(site, CropSettings(request_crops=1))
        seen: list[int] = []
        async with connected(exchange):
            await exchange.collect(
                wanted(1, 2), deadline_s=2, on_answer=lambda so_far: seen.append(so_far.num_received)
            )
        return seen

    assert run(main()) == [1, 2]


def test_a_newer_stream_of_an_edge_takes_over(site: ServerParts) -> None:
    async def main() -> None:
        exchange = exchange_of(site)
        older, newer = await exchange.connect("edge1", "spool1"), await exchange.connect("edge1", "spool1")
        assert (older.is_ended, newer.is_ended) == (True, False)
        exchange.disconnect(older)
        assert exchange.connected_edges() == ["edge1"]

    run(main())


def test_a_stopping_server_takes_no_edges(site: ServerParts) -> None:
    async def main() -> None:
        exchange = exchange_of(site)
        line = await exchange.connect("edge1", "spool1")
        exchange.stop()
        assert line.is_ended
        with pytest.raises(StoppingError):
            await exchange.connect("edge2", "spool2")

    run(main())
