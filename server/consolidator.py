"""Runs consolidation: the clustering in a thread of its own, its outcome in the writer's, one group of persons a time.

Observations are taken all the while. A group whose persons changed since they were read is left to the next time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from reid.errors import OspreyError
from server.identities import Identities, IdentityChange
from server.matching.consolidation import ConsolidationSettings, Regrouping, consolidate
from server.matching.links import Word
from server.matching.tracklets import MaturitySettings
from server.spaces import Spaces
from server.storage.members import SqlMembers
from server.storage.records import Records
from server.types import Actor, Tracklet

logger = structlog.get_logger(__name__)

SYSTEM = Actor("consolidation", "system")

Submit = Callable[[Callable[[], IdentityChange | None]], Awaitable[IdentityChange | None]]
"""Runs something in the writer's thread."""


@dataclass(frozen=True, kw_only=True)
class ConsolidationReport:
    """What a consolidation came to.

    Attributes:
        num_tracklets: In the window.
        num_moved: That have another person now.
        num_skipped: Groups of persons that changed meanwhile, and were left alone.
        event_keys: One for each group that changed.
    """

    num_tracklets: int
    num_moved: int
    num_skipped: int
    event_keys: tuple[int, ...]


class Consolidator:
    """Consolidates at intervals, and on demand.

    Args:
        identities: Carries out what the clustering says.
        records: Links.
        members: Tracklets.
        submit: Runs something in the writer's thread.
        settings: When and how.
        maturity: How much young tracklets count.
        spaces: Gives the space that is served now, with its threshold.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        identities: Identities,
        records: Records,
        members: SqlMembers,
        submit: Submit,
        *,
        settings: ConsolidationSettings,
        maturity: MaturitySettings,
        spaces: Callable[[], Spaces],
        clock_us: Callable[[], int],
    ) -> None:
        self._identities = identities
        self._records = records
        self._members = members
        self._submit = submit
        self._settings = settings
        self._maturity = maturity
        self._spaces = spaces
        self._clock_us = clock_us
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Consolidate at intervals until cancelled; returns at once when that is off."""
        while self._settings.interval_s:
            await asyncio.sleep(self._settings.interval_s)
            try:
                await self.consolidate(SYSTEM)
            except OspreyError as error:
                logger.warning("consolidation failed, and is tried again later", error=str(error))

    async def consolidate(self, actor: Actor, *, window_s: float = 0.0) -> ConsolidationReport:
        """Cluster everybody seen lately anew. One at a time; others wait.

        Args:
            actor: Who asked.
            window_s: Persons seen within this time before now; 0 for the setting.

        Raises:
            StorageError: What was carried out until then holds.
            StoppingError: Likewise.
        """
        async with self._turn:
            tracklets, regroupings = await asyncio.to_thread(self._work_out, window_s or self._settings.window_s)
            outcomes = [await self._submit(partial(self._identities.regroup, item, actor)) for item in regroupings]
        done = [change for change in outcomes if change is not None]
        report = ConsolidationReport(
            num_tracklets=len(tracklets),
            num_moved=sum(change.num_tracklets for change in done),
            num_skipped=len(outcomes) - len(done),
            event_keys=tuple(change.event_key for change in done),
        )
        logger.info("consolidated", tracklets=report.num_tracklets, moved=report.num_moved, skipped=report.num_skipped)
        return report

    def _work_out(self, window_s: float) -> tuple[list[Tracklet], list[Regrouping]]:
        """The tracklets in the window, all in one space, and what would change."""
        spaces = self._spaces()
        persons = self._members.find_persons(since_us=self._clock_us() - int(window_s * 1e6))
        tracklets = self._members.read_members(persons, spaces)
        links = self._records.read_links()
        regroupings = consolidate(
            tracklets,
            [Word(link.one_tracklet_key, link.other_tracklet_key, link.kind == "must") for link in links],
            settings=self._settings,
            maturity=self._maturity,
            threshold=spaces.served.threshold,
            next_person_id=1 + max((tracklet.person_id for tracklet in tracklets), default=0),
        )
        return tracklets, regroupings
