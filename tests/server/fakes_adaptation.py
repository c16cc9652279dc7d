"""An adaptation loop over a real database, with steps that a test can hold up and make fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from reid.errors import OspreyError
from server.adaptation.book import RunBook
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import AdaptationLoop, Save, Step
from server.adaptation.run import AdaptationRun, RunState, next_step
from server.adaptation.settings import TriggerSettings
from server.adaptation.triggers import Reason
from server.storage.database import StorageSettings, open_database
from server.storage.records import AuditEntry
from server.types import Actor

T = TypeVar("T")

ANN = Actor("ann", "operator")
_AFTER: Mapping[RunState, RunState] = {
    "collecting": "snapshot",
    "snapshot": "training",
    "training": "gating",
    "gating": "rolling_out",
    "rolling_out": "done",
}


@dataclass
class FakeStep:
    """Goes on to the next state, unless it is told to fail or to wait."""

    error: Exception | None = None
    is_held: bool = False
    num_taken: int = 0
    halted: list[int] = field(default_factory=list)

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        self.num_taken += 1
        if self.is_held:
            await asyncio.sleep(3600)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return next_step(run, _AFTER[run.state], message="went on", now_us=run.changed_us + 1)

    async def halt(self, run: AdaptationRun) -> None:
        self.halted.append(run.run_key)


def submit(operation: Callable[[], T]) -> Awaitable[T]:
    """As the writer does, at once."""
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        done.set_result(operation())
    except Exception as error:
        done.set_exception(error)
    return done


@dataclass
class LoopParts:
    """A loop; `reopen` is a restart of its server."""

    data: Path
    settings: TriggerSettings = field(default_factory=lambda: TriggerSettings(check_s=0.02))
    served: str = "a-1"
    reason: Reason | None = None
    audit: list[AuditEntry] = field(default_factory=list)
    now_us: int = 1_000_000_000_000_000

    def __post_init__(self) -> None:
        self.engine = open_database(StorageSettings(), data=self.data)
        self.book = RunBook(self.engine)
        self.steps: dict[RunState, FakeStep] = {state: FakeStep() for state in _AFTER}
        self.loop = self.make_loop(dict(self.steps))

    def make_loop(self, steps: Mapping[RunState, Step]) -> AdaptationLoop:
        return AdaptationLoop(
            self.book,
            steps,
            submit=submit,
            append_audit=self.audit.append,
            look=lambda last, now_us: self.reason,
            served=lambda: self.served,
            folder=self.folder,
            settings=self.settings,
            keep_snapshots=False,
            clock_us=lambda: self.now_us,
        )

    def folder(self, run_key: int) -> AdaptationFolder:
        return AdaptationFolder(self.data / "adaptation" / str(run_key))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AdaptationLoop]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield self.loop
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, state: RunState) -> AdaptationRun:
        """Wait until the latest run is in a state."""
        for _ in range(2000):
            with suppress(OspreyError):
                run = self.book.find(0)
                if run.state == state:
                    return run
            await asyncio.sleep(0.005)
        raise AssertionError(f"no run came to {state}; the latest is {self.book.find(0)}")
