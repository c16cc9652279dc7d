"""Crops of one person, asked of the edges because somebody looks at that person.

They come through the exchange, so that budgets hold and what comes is checked as always. One demand of a person runs at
a time. What it came to is remembered until the next one, of the latest persons.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Protocol

import structlog
from sqlalchemy import Engine, select

from reid.errors import OspreyError
from server.crops.candidates import read_crop_views
from server.crops.exchange import CollectReport
from server.crops.selection import CropView, WantedCrop
from server.crops.settings import DemandSettings
from server.errors import NotFoundError
from server.storage.database import explained
from server.storage.schema import crops, tracklets
from server.types import CropName

logger = structlog.get_logger(__name__)

_MOST_REMEMBERED = 256


class Fetch(Protocol):
    """Brings crops here: `CropExchange.fetch`."""

    def __call__(
        self, wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> Awaitable[CollectReport]:
        """Get a few crops."""


@dataclass(kw_only=True)
class Demand:
    """What was asked for of a person, and what came of it so far.

    Attributes:
        wanted: Crops, the best first.
        report: Of what came.
        is_over: Nothing more is to come.
        failure: Why it ended early; empty if it did not.
    """

    wanted: tuple[WantedCrop, ...]
    report: CollectReport
    is_over: bool = False
    failure: str = ""

    @property
    def num_pending(self) -> int:
        """Crops that may still come."""
        return 0 if self.is_over else self.report.num_wanted - self.report.num_received - len(self.report.missing)


@dataclass
class CropDemands:
    """Demands of all persons. Used by the event loop alone.

    Args:
        engine: Of the records.
        fetch: Gets crops.
        settings: How many, and how long to wait.
    """

    engine: Engine
    fetch: Fetch
    settings: DemandSettings
    _demands: OrderedDict[int, Demand] = field(default_factory=OrderedDict, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def of(self, person_id: int) -> Demand | None:
        """The latest demand of a person, if it is still remembered."""
        return self._demands.get(person_id)

    def is_running(self, person_id: int) -> bool:
        """Crops of a person may still come."""
        demand = self._demands.get(person_id)
        return demand is not None and not demand.is_over

    async def ask_for_pictures(self, person_ids: Sequence[int]) -> int:
        """Ask for one crop of each person; gives how many can be asked for."""
        asked = 0
        for person_id in person_ids:
            with suppress(NotFoundError):
                await self.ask(person_id, most=1)
                asked += 1
        return asked

    async def ask(self, person_id: int, *, most: int = 0) -> Demand:
        """Ask for crops of a person that are not here; the demand that runs goes on instead, if there is one.

        Args:
            person_id: Whose.
            most: Crops; 0 for as many as the settings say.

        Raises:
            NotFoundError: The edges can have no more of this person.
            StorageError: The records cannot be read.
        """
        running = self._demands.get(person_id)
        if running is not None and not running.is_over:
            return running
        found = await asyncio.to_thread(find_wanted, self.engine, person_id, settings=self.settings)
        wanted = found[:most] if most else found
        if not wanted:
            raise NotFoundError(f"person {person_id}: the edges can have no crops that are not here already")
        demand = Demand(wanted=tuple(wanted), report=CollectReport(num_wanted=len(wanted)))
        self._demands[person_id] = demand
        self._demands.move_to_end(person_id)
        while len(self._demands) > _MOST_REMEMBERED:
            self._demands.popitem(last=False)
        task = asyncio.create_task(self._run(demand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return demand

    async def _run(self, demand: Demand) -> None:
        def note(report: CollectReport) -> None:
            demand.report = report

        try:
            note(await self.fetch(demand.wanted, deadline_s=self.settings.deadline_s, on_answer=note))
        except OspreyError as error:
            demand.failure = str(error)
            logger.error("crops that were asked for are not kept", error=str(error))
        finally:
            demand.is_over = True


@explained
def find_wanted(engine: Engine, person_id: int, *, settings: DemandSettings) -> list[WantedCrop]:
    """Crops of a person that are not here and that edges may have, the most telling first.

    Raises:
        StorageError: They cannot be read.
    """
    latest = (
        select(tracklets.c.tracklet_key)
        .where(tracklets.c.person_id == person_id)
        .order_by(tracklets.c.end_us.desc())
        .limit(settings.max_tracklets)
    )
    with engine.connect() as connection:
        keys = list(connection.scalars(latest))
        views = read_crop_views(connection, keys)
        here = select(crops.c.spool_key, crops.c.seq).where(crops.c.tracklet_key.in_(keys))
        known = {CropName(row.spool_key, row.seq) for row in connection.execute(here)}
    in_order = {key: views[key] for key in keys if key in views}
    return list(islice(most_telling(in_order, known), settings.max_crops))


def most_telling(views: Mapping[int, Sequence[CropView]], known: set[CropName]) -> Iterator[WantedCrop]:
    """Crops to ask for: first the best of each tracklet, then the second best of each, and so on.

    Args:
        views: Those of each tracklet, by its key.
        known: Crops that are here; they count as the best of their tracklet.
    """
    ranked = [_ranked(key, members, known) for key, members in views.items()]
    for turn in zip_longest(*ranked):
        yield from (wanted for wanted in turn if wanted is not None)


def _ranked(tracklet: int, views: Sequence[CropView], known: set[CropName]) -> list[WantedCrop | None]:
    missing = [view for view in views if CropName(view.spool_key, view.seq) not in known]
    best = sorted(missing, key=lambda view: -view.quality)
    head: list[WantedCrop | None] = [None] * (len(views) - len(missing))
    return head + [WantedCrop(tracklet, view.spool_key, view.seq, view.time_us) for view in best]
