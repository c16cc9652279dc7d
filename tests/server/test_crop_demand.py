from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from fakes_crop_edges import connected, exchange_of, observe, put, run, store_of
from fakes_stream import ServerParts

from server.crops.demand import CropDemands, Demand, find_wanted, most_telling
from server.crops.exchange import CollectReport
from server.crops.selection import CropView, WantedCrop
from server.crops.settings import DemandSettings
from server.errors import NotFoundError, StorageError
from server.types import CropName

SETTINGS = DemandSettings(max_crops=3, deadline_s=1)


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    """Persons 1 and 2 with a tracklet of four observations each."""
    observe(parts, [(1, 2, 3, 4), (5, 6, 7, 8)])
    return parts


def view(seq: int, quality: float) -> CropView:
    return CropView(1, seq, quality, seq)


def test_the_best_of_each_tracklet_is_asked_for_before_the_second_best_of_any() -> None:
    views = {7: [view(1, 0.2), view(2, 0.9)], 8: [view(3, 0.5), view(4, 0.4)]}
    assert [wanted.seq for wanted in most_telling(views, set())] == [2, 3, 1, 4]


def test_what_is_here_counts_as_the_best_of_its_tracklet() -> None:
    views = {7: [view(1, 0.2), view(2, 0.9)], 8: [view(3, 0.5)]}
    assert [wanted.seq for wanted in most_telling(views, {CropName(1, 2)})] == [3, 1]


def test_only_crops_of_the_person_that_are_not_here_are_wanted(site: ServerParts) -> None:
    put(store_of(site), 1, 1)
    assert sorted(wanted.seq for wanted in find_wanted(site.engine, 1, settings=SETTINGS)) == [2, 3, 4]


def test_crops_come_from_an_edge_and_are_told(site: ServerParts) -> None:
    async def main() -> Demand:
        exchange = exchange_of(site)
        demands = CropDemands(site.engine, exchange.fetch, SETTINGS)
        async with connected(exchange):
            demand = await demands.ask(1)
            assert (demand.num_pending, demands.is_running(1)) == (3, True)
            while demands.is_running(1):
                await asyncio.sleep(0.01)
        return demand

    demand = run(main())
    assert (demand.report.num_received, demand.num_pending) == (3, 0)


def test_asking_again_meanwhile_asks_the_edges_once(site: ServerParts) -> None:
    asked: list[Sequence[WantedCrop]] = []

    async def fetch(
        wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> CollectReport:
        asked.append(wanted)
        await asyncio.sleep(0.05)
        return CollectReport(num_wanted=len(wanted))

    async def main() -> None:
        demands = CropDemands(site.engine, fetch, SETTINGS)
        assert await demands.ask(1) is await demands.ask(1)
        assert await demands.ask_for_pictures([1, 2, 99]) == 2
        await asyncio.sleep(0.1)

    run(main())
    assert [len(wanted) for wanted in asked] == [3, 1]


def test_a_person_without_crops_on_edges_is_told(site: ServerParts) -> None:
    async def main() -> None:
        await CropDemands(site.engine, exchange_of(site).fetch, SETTINGS).ask(99)

    with pytest.raises(NotFoundError, match="person 99"):
        run(main())


def test_a_full_disk_ends_the_demand_with_the_reason(site: ServerParts) -> None:
    async def fetch(*_: object, **__: object) -> CollectReport:
        raise StorageError("disk full")

    async def main() -> Demand:
        demands = CropDemands(site.engine, fetch, SETTINGS)
        demand = await demands.ask(1)
        await asyncio.sleep(0.05)
        return demand

    assert (run(main()).failure, run(main()).is_over) == ("disk full", True)
