"""The one writer behind all streams: a bounded queue, one thread, one step at a time.

While a step commits, batches of all streams gather and become the next step. When the queue is full, `Feed.submit`
waits, the stream is read no further, and back-pressure reaches the edge's spool.

A batch is stored only after all earlier ones of its feed: when one fails, so do all behind it. Otherwise a later batch
would move the acknowledgement past what was never stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from pydantic import Field

from reid.settings import Settings
from server.errors import StoppingError, StorageError
from server.ingest import Batch, Ingest

logger = structlog.get_logger(__name__)

Outcome = int | Exception
"""acked_seq of the batch's spool, or why the batch was not stored."""


class WriterSettings(Settings):
    """Batching of commits."""

    queue_batches: int = Field(default=512, ge=1)
    """Batches waiting, of all streams together."""
    max_step_observations: int = Field(default=4096, ge=1)
    """A step takes no further batch beyond this."""


@dataclass(slots=True, eq=False)
class Feed:
    """The batches of one stream, in order."""

    writer: Writer
    failure: Exception | None = field(default=None, init=False)

    async def submit(self, batch: Batch) -> asyncio.Future[int]:
        """Queue a batch, waiting for room.

        Returns:
            Becomes the spool's acked_seq when the batch is durable, or StorageError, or StoppingError.
        """
        return await self.writer.enqueue(self, batch)


@dataclass(slots=True, eq=False)
class _Job:
    feed: Feed
    batch: Batch
    done: asyncio.Future[int]


class Writer:
    """Runs `Ingest.step` in its own thread. `run` in a task; `close` ends it.

    Args:
        ingest: Used by this alone.
        settings: Batching of commits.
    """

    def __init__(self, ingest: Ingest, settings: WriterSettings) -> None:
        self._ingest = ingest
        self._max_step_observations = settings.max_step_observations
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue(settings.queue_batches)
        self._is_closing = False

    def open_feed(self) -> Feed:
        """Begin a sequence of batches."""
        return Feed(self)

    async def enqueue(self, feed: Feed, batch: Batch) -> asyncio.Future[int]:
        """See `Feed.submit`."""
        done = asyncio.get_running_loop().create_future()
        if self._is_closing:
            _settle(done, StoppingError("the server is stopping: send this again later"))
        else:
            await self._queue.put(_Job(feed, batch, done))
        return done

    async def run(self) -> None:
        """Store batches until closed."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as executor:
            while jobs := await self._take():
                for job, outcome in zip(jobs, await loop.run_in_executor(executor, self.step, jobs), strict=True):
                    _settle(job.done, outcome)

    async def close(self) -> None:
        """Let `run` store what is queued, and end; later batches are refused."""
        self._is_closing = True
        await self._queue.put(None)

    def step(self, jobs: Sequence[_Job]) -> list[Outcome]:
        """Store the batches of feeds that have not failed, in one transaction. Called by the writer's thread."""
        live = [job for job in jobs if job.feed.failure is None]
        try:
            acked = iter(self._ingest.step([job.batch for job in live]) if live else ())
        except StorageError as error:
            logger.warning("nothing stored", batches=len(live), error=str(error))
            return self._fail(jobs, error)
        except Exception as error:
            if len(jobs) > 1:  # one of them is poison: the others must not suffer
                return [outcome for job in jobs for outcome in self.step([job])]
            logger.exception("a batch cannot be stored", edge_id=jobs[0].batch.spool.edge_id)
            return self._fail(jobs, error)
        return [job.feed.failure or next(acked) for job in jobs]

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> list[Outcome]:
        for job in jobs:
            job.feed.failure = job.feed.failure or error
        return [job.feed.failure or error for job in jobs]

    async def _take(self) -> list[_Job]:
        """Everything queued, up to the limit, but at least one; empty when closed."""
        jobs: list[_Job] = []
        num_observations = 0
        while num_observations < self._max_step_observations and (not jobs or not self._queue.empty()):
            job = await self._queue.get()
            if job is None:
                if jobs:
                    self._queue.put_nowait(None)  # for the next turn
                break
            jobs.append(job)
            num_observations += len(job.batch.observations)
        return jobs


def _settle(done: asyncio.Future[int], outcome: Outcome) -> None:
    if done.done():  # its stream is gone
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
        done.exception()  # seen: asyncio would warn if the stream is gone
    else:
        done.set_result(outcome)
