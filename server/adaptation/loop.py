"""The loop: begins runs, takes their steps one after the other, and goes on after a restart with the step it was in.

Whoever stops a run waits until its step is interrupted and its process gone. A server that ends interrupts the step
too, but leaves the process to itself: the next server finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import structlog

from reid.errors import OspreyError
from server.adaptation.book import RunBook
from server.adaptation.folder import AdaptationFolder
from server.adaptation.run import AdaptationRun, RunState, Trigger, failed, resumed, stopped
from server.adaptation.settings import TriggerSettings
from server.adaptation.triggers import Reason, may_begin
from server.errors import ConflictError, LeaseLostError, StoppingError, StorageError
from server.storage.records import AuditEntry
from server.types import Actor

logger = structlog.get_logger(__name__)

T = TypeVar("T")

SYSTEM = Actor("adaptation", "system")
_RETRY_S = 5.0

Save = Callable[[AdaptationRun], Awaitable[AdaptationRun]]


class Submit(Protocol):
    """Runs something in the writer's thread."""

    def __call__(self, operation: Callable[[], T], /) -> Awaitable[T]:
        """Becomes what the operation returns or raises."""


class Step(Protocol):
    """What is done in one state. It may be interrupted and taken again at any moment."""

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """Do it.

        Args:
            run: In this state.
            save: Stores what became of the run on the way.

        Returns:
            The run in its next state.

        Raises:
            OspreyError: The run has failed.
        """

    async def halt(self, run: AdaptationRun) -> None:
        """End what an interrupted step left running."""


class AdaptationLoop:
    """Runs adaptations, one at a time. `run` in a task.

    Args:
        book: All runs.
        steps: By state.
        submit: Runs something in the writer's thread.
        append_audit: Adds to the audit log.
        look: Says why a run should begin by itself, if one should, given the last run and the time.
        served: Names the space that is served.
        folder: That of a run, by its number.
        settings: When runs begin.
        keep_snapshots: Crops of ended runs stay.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        book: RunBook,
        steps: Mapping[RunState, Step],
        *,
        submit: Submit,
        append_audit: Callable[[AuditEntry], None],
        look: Callable[[AdaptationRun | None, int], Reason | None],
        served: Callable[[], str],
        folder: Callable[[int], AdaptationFolder],
        settings: TriggerSettings,
        keep_snapshots: bool,
        clock_us: Callable[[], int],
    ) -> None:
        self._book = book
        self._steps = steps
        self._submit = submit
        self._append_audit = append_audit
        self._look = look
        self._served = served
        self._folder = folder
        self._settings = settings
        self._keep_snapshots = keep_snapshots
        self._clock_us = clock_us
        self._turn = asyncio.Lock()
        self._has_news = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self._turn_once()
            except StoppingError:
                return
            except LeaseLostError:
                raise
            except OspreyError as error:
                logger.warning("adaptation waits, and is tried again", error=str(error))
                await asyncio.sleep(_RETRY_S)
            except Exception:  # a loop that ended would adapt nothing any more, and nobody would see it
                logger.exception("adaptation waits, and is tried again")
                await asyncio.sleep(_RETRY_S)

    async def start(self, actor: Actor, *, trigger: Trigger = "operator", message: str = "") -> AdaptationRun:
        """Begin a run.

        Raises:
            ConflictError: One is under way.
            StorageError: Nothing began.
        """
        now_us = self._clock_us()
        run = AdaptationRun(
            trigger=trigger,
            actor=actor.name,
            started_us=now_us,
            changed_us=now_us,
            message=message or f"begun by {actor.name}",
            parent=self._served(),
        )
        async with self._turn:
            run = await self._submit(partial(self._begin, run, actor))
        logger.info("adaptation begins", run=run.run_key, trigger=trigger, why=run.message, parent=run.parent)
        await self._tidy_earlier(run)
        self._has_news.set()
        return run

    async def stop(self, run_key: int, actor: Actor) -> AdaptationRun:
        """End a run, and what it started.

        Args:
            run_key: Which one; 0 for the latest.
            actor: Who asks.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It is not under way, or is rolling out.
        """
        async with self._turn:
            run = await self._submit(partial(self._book.find, run_key))
            _check_can_stop(run, actor, self._clock_us())
            await self._interrupt()
            run = await self._submit(partial(self._book.find, run.run_key))  # it may have gone on just before
            _check_can_stop(run, actor, self._clock_us())
            await self._steps[run.state].halt(run)
            ended = stopped(run, actor.name, now_us=self._clock_us())
            run = await self._submit(partial(self._noted, partial(self._book.save, ended), actor, "adapt stop"))
        logger.info("adaptation stopped", run=run.run_key, by=actor.name)
        self._has_news.set()
        return run

    async def resume(self, run_key: int, actor: Actor) -> AdaptationRun:
        """Go on with a run that failed or was stopped.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It cannot go on, or another one is under way.
        """
        async with self._turn:
            run = await self._submit(partial(self._book.find, run_key))
            goes_on = resumed(
                run,
                actor.name,
                served=self._served(),
                has_snapshot=self._folder(run.run_key).has_snapshot,
                now_us=self._clock_us(),
            )
            run = await self._submit(partial(self._noted, partial(self._book.revive, goes_on), actor, "adapt resume"))
        logger.info("adaptation goes on", run=run.run_key, state=run.state, by=actor.name)
        self._has_news.set()
        return run

    async def _turn_once(self) -> None:
        self._has_news.clear()
        if await self._work():
            return
        await self._begin_if_due()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._has_news.wait(), self._settings.check_s)

    async def _begin_if_due(self) -> None:
        last = await asyncio.to_thread(self._book.latest)
        now_us = self._clock_us()
        if not may_begin(last.started_us if last else 0, self._settings, now_us):
            return
        reason = await asyncio.to_thread(self._look, last, now_us)
        if reason is not None:
            with contextlib.suppress(ConflictError):  # an operator was faster
                await self.start(SYSTEM, trigger=reason.trigger, message=reason.message)

    async def _work(self) -> bool:
        """Take one step of the run under way, unless it is interrupted; false if there is none."""
        async with self._turn:  # nobody changes a run between reading it and working on it
            run = await self._submit(self._book.active)
            if run is None:
                return False
            self._working = asyncio.create_task(self._take(run))
        try:
            await asyncio.wait({self._working})
        finally:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
            self._working = None
        return True

    async def _take(self, run: AdaptationRun) -> None:
        try:
            after = await self._steps[run.state].take(run, self._save)
        except (StorageError, StoppingError):
            raise
        except OspreyError as error:
            after = await self._failed(run, str(error))
        except OSError as error:
            after = await self._failed(run, f"{error.filename or run.state}: {error.strerror or error}")
        except Exception:
            logger.exception("an adaptation step failed", run=run.run_key, state=run.state)
            after = await self._failed(run, "the server failed on this step; its log says why")
        await self._save(after)
        logger.info("adaptation", run=after.run_key, state=after.state, why=after.message)
        if after.state in ("done", "refused") and not self._keep_snapshots:
            await asyncio.to_thread(self._folder(after.run_key).tidy)

    async def _failed(self, run: AdaptationRun, message: str) -> AdaptationRun:
        """The run as it was stored last, failed."""
        stored = await asyncio.to_thread(self._book.find, run.run_key)
        return failed(stored, message, now_us=self._clock_us())

    async def _interrupt(self) -> None:
        """End the step under way; its process goes on."""
        working = self._working
        if working is not None:
            working.cancel()
            await asyncio.wait({working})

    async def _save(self, run: AdaptationRun) -> AdaptationRun:
        return await self._submit(partial(self._book.save, run))

    async def _tidy_earlier(self, run: AdaptationRun) -> None:
        """Earlier runs that were broken off give their crops up."""
        if not self._keep_snapshots:
            earlier = await asyncio.to_thread(self._book.page, 1, before=run.run_key)
            for each in earlier:
                await asyncio.to_thread(self._folder(each.run_key).tidy)

    def _begin(self, run: AdaptationRun, actor: Actor) -> AdaptationRun:
        return self._noted(partial(self._book.begin, run), actor, "adapt start")

    def _noted(self, change: Callable[[], AdaptationRun], actor: Actor, what: str) -> AdaptationRun:
        """Carry a change out, and note it."""
        run = change()
        subject = f"run {run.run_key}"
        self._append_audit(
            AuditEntry(time_us=self._clock_us(), actor=actor, what=what, subject=subject, outcome="done")
        )
        return run


def _check_can_stop(run: AdaptationRun, actor: Actor, now_us: int) -> None:
    """Complain about a run that cannot be stopped.

    Raises:
        ConflictError: It has ended, or its release is on its way to the edges.
    """
    stopped(run, actor.name, now_us=now_us)
    if run.state == "rolling_out":
        raise ConflictError(
            f"adaptation run {run.run_key} is rolling out: 'osprey-server rollout abort' brings the edges back"
        )
