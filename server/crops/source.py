"""The crops of a site, as an adaptation run uses them: chosen, gathered, made into a data set, and forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog
from sqlalchemy import Engine

from reid.errors import OspreyError
from server.crops.candidates import read_candidates
from server.crops.exchange import CollectReport, CropExchange
from server.crops.selection import WantedCrop, select
from server.crops.settings import CropSettings
from server.crops.snapshot import clear_unfinished, drop_deleted, make_snapshot
from server.crops.store import CropStore
from server.spaces import Spaces
from server.storage.records import Deletion, Link
from server.types import CropName

logger = structlog.get_logger(__name__)


class SiteCrops:
    """All that a run asks of crops.

    Args:
        engine: Of the records.
        store: Keeps crops.
        exchange: Gets them from the edges.
        settings: Which, and how many.
        spaces: Gives what memory knows now.
        read_links: Gives what operators said, oldest first.
        snapshots: Gives the folders where snapshots lie, or may come to lie.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        engine: Engine,
        store: CropStore,
        exchange: CropExchange,
        settings: CropSettings,
        *,
        spaces: Callable[[], Spaces],
        read_links: Callable[[], Sequence[Link]],
        snapshots: Callable[[], Iterable[Path]],
        clock_us: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._store = store
        self._exchange = exchange
        self._settings = settings
        self._spaces = spaces
        self._read_links = read_links
        self._snapshots = snapshots
        self._clock_us = clock_us

    def restore(self) -> None:
        """Clear what a crash left behind; once, before edges are asked.

        Raises:
            StorageError: The records cannot be read.
        """
        self._store.sweep()
        for folder in self._snapshots():
            clear_unfinished(folder)
        self._drop_from_snapshots()

    def select(self, *, since_us: int) -> list[WantedCrop]:
        """Choose crops of tracklets that were added to since a moment of the server's clock. May take a minute.

        Raises:
            StorageError: The records cannot be read.
        """
        candidates = read_candidates(
            self._engine, self._spaces(), since_us=since_us, most=self._settings.max_candidates
        )
        wanted = select(
            candidates,
            strategy=self._settings.strategy,
            max_crops=self._settings.max_crops,
            rng=np.random.default_rng(),
            crops_per_tracklet=self._settings.crops_per_tracklet,
        )
        logger.info("crops chosen", strategy=self._settings.strategy, tracklets=len(candidates), crops=len(wanted))
        return wanted

    async def collect(
        self, wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> CollectReport:
        """See `CropExchange.collect`."""
        return await self._exchange.collect(wanted, deadline_s=deadline_s, on_answer=on_answer)

    def snapshot(
        self, wanted: Sequence[WantedCrop], folder: Path, *, parent: str, provenance: Mapping[str, str]
    ) -> int:
        """Make a data set of those of the crops that are here; gives how many it holds.

        Raises:
            SnapshotError: None to train on is here, or the disk is full.
            StorageError: The records cannot be read.
        """
        names: defaultdict[int, set[CropName]] = defaultdict(set)
        for crop in wanted:
            names[crop.tracklet].add(crop.name)
        snapshot = make_snapshot(
            self._engine,
            self._store,
            names,
            folder,
            parent=parent,
            links=self._read_links(),
            held_out_share=self._settings.held_out_share,
            made_us=self._clock_us(),
            provenance={"strategy": self._settings.strategy, **provenance},
        )
        return len(snapshot.crops)

    def forget(self, deletion: Deletion) -> None:
        """Remove the files of what the records have deleted: `SqlRecords.on_deleted`. Raises nothing.

        Edges are told to delete the crops that they have of erased persons.
        """
        self._store.forget(deletion.crops)
        if deletion.tracklet_keys:
            self._exchange.forget_soon()
            self._drop_from_snapshots()

    def _drop_from_snapshots(self) -> None:
        for folder in self._snapshots():
            try:
                drop_deleted(self._engine, folder)
            except (OspreyError, OSError) as error:
                logger.error("a snapshot keeps crops until the next start", folder=str(folder), error=str(error))
