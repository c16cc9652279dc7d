"""The steps that bring a data set together: crops from the edges, then a snapshot of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from reid.files import write_json_atomic
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import Save
from server.adaptation.run import AdaptationRun, next_step
from server.adaptation.settings import AdaptationSettings
from server.crops.exchange import CollectReport
from server.crops.selection import WantedCrop
from server.errors import AdaptationError

_SAVE_S = 2.0


class CropSource(Protocol):
    """The crops of the site. `select` and `snapshot` are called in a thread."""

    def select(self, *, since_us: int) -> list[WantedCrop]:
        """Choose crops of tracklets seen since a moment."""

    async def collect(
        self, wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> CollectReport:
        """Bring crops here that are not yet, telling how far it is."""

    def snapshot(
        self, wanted: Sequence[WantedCrop], folder: Path, *, parent: str, provenance: Mapping[str, str]
    ) -> int:
        """Make a data set of those that are here; gives how many crops it holds."""


class Collecting:
    """Asks the edges for crops, until all are here, expired, or the time is over.

    Args:
        source: The crops.
        settings: Which, and for how long.
        folder: That of a run, by its number.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        source: CropSource,
        settings: AdaptationSettings,
        *,
        folder: Callable[[int], AdaptationFolder],
        clock_us: Callable[[], int],
    ) -> None:
        self._source = source
        self._settings = settings
        self._folder = folder
        self._clock_us = clock_us

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """See `Step`."""
        wanted = await asyncio.to_thread(self._wanted, self._folder(run.run_key))
        run = await save(replace(run, num_crops_wanted=len(wanted)))
        counts = _Counts(run)
        noting = asyncio.create_task(counts.keep(save))
        try:
            spent_s = (self._clock_us() - run.changed_us) / 1e6
            deadline_s = max(0.0, self._settings.collect_h * 3600 - spent_s)
            report = await self._source.collect(wanted, deadline_s=deadline_s, on_answer=counts.note)
        finally:
            noting.cancel()
        run = counts.after(report)
        if (least := self._settings.least_crops) > report.num_received:
            raise AdaptationError(
                f"{report.num_received} of {len(wanted)} crops came, adaptation.least_crops wants {least}: let more "
                "people be seen, see to the edges that are not connected, or ask for less"
            )
        message = f"{report.num_received} of {len(wanted)} crops are here"
        return next_step(run, "snapshot", message=message, now_us=self._clock_us())

    async def halt(self, run: AdaptationRun) -> None:
        """Nothing goes on without the step."""

    def _wanted(self, folder: AdaptationFolder) -> list[WantedCrop]:
        """The crops of the run: chosen once, so that a restart asks for no others."""
        if folder.wanted.is_file():
            return read_wanted(folder.wanted)
        since_us = self._clock_us() - int(self._settings.window_days * 86_400 * 1e6)
        wanted = self._source.select(since_us=since_us)
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json_atomic(folder.wanted, [list(crop) for crop in wanted])
        return wanted


class Snapshotting:
    """Puts the data set together.

    Args:
        source: The crops.
        folder: That of a run, by its number.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self, source: CropSource, *, folder: Callable[[int], AdaptationFolder], clock_us: Callable[[], int]
    ) -> None:
        self._source = source
        self._folder = folder
        self._clock_us = clock_us
        self._making: asyncio.Task[int] | None = None

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """See `Step`."""
        self._making = asyncio.create_task(asyncio.to_thread(self._make, run))
        num_crops = await asyncio.shield(self._making)
        return next_step(run, "training", message=f"trains on {num_crops} crops", now_us=self._clock_us())

    async def halt(self, run: AdaptationRun) -> None:
        """Wait for the thread, which cannot be ended."""
        if self._making is not None:
            await asyncio.wait({self._making})

    def _make(self, run: AdaptationRun) -> int:
        folder = self._folder(run.run_key)
        provenance = {"adaptation_run": str(run.run_key), "trigger": run.trigger, "actor": run.actor}
        return self._source.snapshot(
            read_wanted(folder.wanted), folder.snapshot, parent=run.parent, provenance=provenance
        )


class _Counts:
    """What came so far."""

    def __init__(self, run: AdaptationRun) -> None:
        self._run = run
        self._latest = run

    def note(self, report: CollectReport) -> None:
        """Something came."""
        self._latest = self.after(report)

    def after(self, report: CollectReport) -> AdaptationRun:
        """The run with what came for it, since it began and not only since the last restart."""
        run = self._run
        return replace(
            run,
            num_crops_received=report.num_received,
            num_crops_expired=report.num_expired,
            crop_bytes=run.crop_bytes + report.num_bytes,
        )

    async def keep(self, save: Save) -> None:
        """Store what came, now and then."""
        saved = self._run
        while True:
            await asyncio.sleep(_SAVE_S)
            if self._latest != saved:
                saved = await save(self._latest)


def read_wanted(path: Path) -> list[WantedCrop]:
    """The crops that a run asked for.

    Raises:
        AdaptationError: The file is missing or damaged.
    """
    try:
        return [WantedCrop(*map(int, row)) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise AdaptationError(f"{path} does not tell which crops are wanted: {error}") from None
