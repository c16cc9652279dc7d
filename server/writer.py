"""The one writer behind all streams: bounded lines, one thread, one step at a time.

While a step commits, batches of all streams gather and become the next step, one of each stream in turn. When a
stream's line or the whole queue is full, `Feed.submit` waits, the stream is read no further, and back-pressure reaches
that edge's spool. Steps are kept short: an acknowledgement waits for the rest of the step under way and for its own.

A batch is stored only after all earlier ones of its feed: when one fails, so do all behind it. Otherwise a later batch
would move the acknowledgement past what was never stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from pydantic import Field

from reid.settings import Settings
from server.admission import Batch
from server.counts import WriterCounts
from server.errors import StoppingError, StorageError
from server.fair_queue import FairQueue, StepLimit
from server.ingest import Ingest

logger = structlog.get_logger(__name__)

_FAILING_S = 15.0
"""A failed step is news for so long; edges try again sooner."""

T = TypeVar("T")

Outcome = int | Exception
"""acked_seq of the batch's spool, or why the batch was not stored."""


class WriterSettings(Settings):
    """Batching of commits."""

    queue_batches: int = Field(default=1024, ge=1)
    """Batches waiting, of all streams together."""
    stream_batches: int = Field(default=4, ge=1)
    """Batches waiting, of one stream; the next one of it is not even read."""
    max_step_observations: int = Field(default=4096, ge=1)
    """A step takes no further batch beyond this."""
    step_s: float = Field(default=0.08, gt=0)
    """How long a step should last; the number of observations that it takes follows from that."""


@dataclass(slots=True, eq=False)
class Feed:
    """The batches of one stream, in order."""

    writer: Writer
    room: asyncio.Semaphore
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

    Attributes:
        counts: What its steps came to.
    """

    def __init__(self, ingest: Ingest, settings: WriterSettings) -> None:
        self.counts = WriterCounts()
        self._ingest = ingest
        self._settings = settings
        self._limit = StepLimit(most=settings.max_step_observations, target_s=settings.step_s)
        self._queue: FairQueue[Feed, _Job] = FairQueue()
        self._room = asyncio.Semaphore(settings.queue_batches)
        self._has_news = asyncio.Event()
        self._operations: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._is_closing = False

    @property
    def is_failing(self) -> bool:
        """The last step failed, not long ago: after a while without any step nobody knows, and trying is right."""
        return time.monotonic() - self.counts.failed_at_s < _FAILING_S

    @property
    def num_queued(self) -> int:
        """Batches that wait for a step."""
        return len(self._queue)

    @property
    def queue_batches(self) -> int:
        """Batches that may wait; then streams wait."""
        return self._settings.queue_batches

    def open_feed(self) -> Feed:
        """Begin a sequence of batches."""
        return Feed(self, asyncio.Semaphore(self._settings.stream_batches))

    async def enqueue(self, feed: Feed, batch: Batch) -> asyncio.Future[int]:
        """See `Feed.submit`."""
        done = asyncio.get_running_loop().create_future()
        async with _held(feed.room), _held(self._room):
            if self._is_closing:
                raise StoppingError("the server is stopping: send this again later")
            self._queue.put(feed, _Job(feed, batch, done))
            self._has_news.set()
        return done

    def submit_operation(self, operation: Callable[[], T]) -> asyncio.Future[T]:
        """Run something between two steps, in the writer's thread, which alone may change identities.

        Returns:
            Becomes what the operation returns or raises, or StoppingError.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._is_closing:
            _settle(done, StoppingError("the server is stopping: try again later"))
        else:
            self._operations.append((operation, done))
            self._has_news.set()
        return done

    async def run(self) -> None:
        """Store batches and run operations until closed."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as executor:
            while await self._wait():
                for _ in range(len(self._operations)):  # those that come meanwhile wait until after the next step
                    operation, done = self._operations.popleft()
                    _settle(done, await loop.run_in_executor(executor, _outcome_of, operation))
                if jobs := self._take():
                    for job, outcome in zip(jobs, await loop.run_in_executor(executor, self.step, jobs), strict=True):
                        _settle(job.done, outcome)

    async def close(self) -> None:
        """Let `run` store what is queued, and end; later batches are refused."""
        self._is_closing = True
        self._has_news.set()

    def step(self, jobs: Sequence[_Job]) -> list[Outcome]:
        """Store the batches of feeds that have not failed, in one transaction. Called by the writer's thread."""
        live = [job for job in jobs if job.feed.failure is None]
        try:
            acked = iter(self._store([job.batch for job in live]) if live else ())
        except StorageError as error:
            logger.warning("nothing stored", batches=len(live), error=str(error))
            return self._fail(jobs, error)
        except Exception as error:
            if len(jobs) > 1:  # one of them is poison: the others must not suffer
                return [outcome for job in jobs for outcome in self.step([job])]
            logger.exception("a batch cannot be stored", edge_id=jobs[0].batch.spool.edge_id)
            return self._fail(jobs, error)
        return [job.feed.failure or next(acked) for job in jobs]

    def _store(self, batches: Sequence[Batch]) -> list[int]:
        begin_s = time.perf_counter()
        try:
            with self.counts.step.measure():
                acked = self._ingest.step(batches)
        except StorageError:
            self.counts.failures += 1
            self.counts.failed_at_s = time.monotonic()
            raise
        self.counts.failed_at_s = float("-inf")
        self._limit.note(sum(len(batch.observations) for batch in batches), time.perf_counter() - begin_s)
        return acked

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> list[Outcome]:
        for job in jobs:
            job.feed.failure = job.feed.failure or error
        return [job.feed.failure or error for job in jobs]

    async def _wait(self) -> bool:
        """Wait for work; false when closed and all is done."""
        while not self._queue and not self._operations:
            if self._is_closing:
                return False
            self._has_news.clear()
            await self._has_news.wait()
        return True

    def _take(self) -> list[_Job]:
        """One batch of each stream in turn, up to the limit; streams that waited for room go on."""
        jobs = self._queue.take(most=self._limit.observations, size=lambda job: len(job.batch.observations))
        for job in jobs:
            job.feed.room.release()
            self._room.release()
        return jobs


def _outcome_of(operation: Callable[[], Any]) -> Any:
    """What it returned, or the exception that it raised."""
    try:
        return operation()
    except Exception as error:
        return error


@asynccontextmanager
async def _held(room: asyncio.Semaphore) -> AsyncIterator[None]:
    """Take a place, waiting for one; given back only if the block fails."""
    await room.acquire()
    try:
        yield
    except BaseException:
        room.release()
        raise


def _settle(done: asyncio.Future[Any], outcome: Any) -> None:
    if done.done():  # its stream is gone
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
        done.exception()  # seen: asyncio would warn if the stream is gone
    else:
        done.set_result(outcome)
