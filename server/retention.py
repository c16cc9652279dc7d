"""Retention: deletes what is older than operators want to keep, a little at a time, between the writer's steps.

The age of a tracklet counts from when it was last added to, by the server's clock: an edge's clock may say anything.
Views (embeddings of single observations), records (whole tracklets, with times, boxes and pooled embedding) and the
crops that edges were asked for have an age each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog
from pydantic import Field

from reid.settings import Settings
from server.errors import StoppingError, StorageError
from server.spaces import Spaces
from server.storage.erasure import RING_US
from server.storage.records import Records
from server.types import Tracklet

logger = structlog.get_logger(__name__)

_DAY_US = 86_400 * 1_000_000


class RetentionSettings(Settings):
    """How long what is kept. For no embedding at all beyond some age, give both the same."""

    views_days: float = Field(default=0.0, ge=0)
    """Embeddings of single observations are deleted after so many days; 0 keeps them as long as their records."""
    records_days: float = Field(default=0.0, ge=0)
    """Tracklets are deleted whole after so many days, and with the last of them a person's name; 0 for never."""
    crops_days: float = Field(default=30.0, ge=0)
    """Crops are deleted so many days after they came, and with their tracklets; 0 keeps them as long as these."""
    interval_s: float = Field(default=60.0, gt=0)
    """How often to look."""
    step_tracklets: int = Field(default=100, ge=1)
    """Most tracklets deleted between two steps of the writer: larger is faster, and makes edges wait longer."""


class Retention:
    """Deletes what is too old. `run` in a task.

    Args:
        records: Where it lies.
        settings: How old is too old.
        spaces: Gives what memory knows now.
        let_go: Told, in the thread that calls `step`, which of the tracklets that memory knows are gone.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        records: Records,
        settings: RetentionSettings,
        *,
        spaces: Callable[[], Spaces],
        let_go: Callable[[Iterable[Tracklet]], None],
        clock_us: Callable[[], int],
    ) -> None:
        self._records = records
        self._settings = settings
        self._spaces = spaces
        self._let_go = let_go
        self._clock_us = clock_us

    def step(self) -> bool:
        """Delete some of what is too old. Called by the writer's thread.

        Returns:
            True if there may be more.

        Raises:
            StorageError: Nothing was deleted.
        """
        now_us, limit = self._clock_us(), self._settings.step_tracklets
        before_us = cutoff_us(self._settings.records_days, now_us)
        deletion = self._records.delete_tracklets(spaces=self._spaces(), before_us=before_us, limit=limit)
        self._let_go(deletion.tracklets)
        if num_tracklets := deletion.num_tracklets:
            logger.info("aged out", tracklets=num_tracklets, observations=deletion.num_observations)
            return num_tracklets == limit
        before_us = cutoff_us(self._settings.views_days, now_us)
        num_views = self._records.delete_views(before_us=before_us, limit=limit)
        before_us = cutoff_us(self._settings.crops_days, now_us)
        num_crops = self._records.delete_crops(before_us=before_us, limit=limit)
        self._records.delete_crop_erasures(before_us=now_us - RING_US)
        return limit in (num_views, num_crops)

    async def run(self, submit: Callable[[Callable[[], bool]], Awaitable[bool]]) -> None:
        """Delete what is too old, for ever.

        Args:
            submit: Runs a step in the writer's thread, as `Writer.submit_operation` does.
        """
        settings = self._settings
        while settings.views_days or settings.records_days or settings.crops_days:
            try:
                while await submit(self.step):
                    pass
            except StoppingError:
                return
            except StorageError as error:
                logger.warning("nothing aged out", error=str(error))
            await asyncio.sleep(settings.interval_s)


def cutoff_us(days: float, now_us: int) -> int:
    """What was last added to before this moment is too old; nothing is for 0 days."""
    return now_us - int(days * _DAY_US) if days else 0
