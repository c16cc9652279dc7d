"""Brings a run's process to its end: starts it, finds it again, pauses it in quiet hours, and tells why it failed.

Each attempt has its number in the run before its process starts, and before a process starts those of earlier attempts
are ended: never do two of one run go on side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from server.adaptation.folder import AdaptationFolder
from server.adaptation.job import Job, JobEnd
from server.adaptation.loop import Save
from server.adaptation.run import AdaptationRun
from server.adaptation.settings import JobSettings
from server.errors import AdaptationError

_MOST_LOSSES = 3


class JobWatch:
    """Watches the processes of one kind.

    Args:
        name: What they do, such as "training"; names their folders.
        settings: Limits.
        must_pause: True while nothing may run.
    """

    def __init__(self, name: str, settings: JobSettings, must_pause: Callable[[], bool] = lambda: False) -> None:
        self._name = name
        self._settings = settings
        self._must_pause = must_pause

    async def to_end(
        self,
        run: AdaptationRun,
        folder: AdaptationFolder,
        command: Callable[[Path], Sequence[str]],
        save: Save,
    ) -> AdaptationRun:
        """Wait until the process has done its work, starting it as often as that takes.

        Args:
            run: Whose.
            folder: Of the run.
            command: Given the folder of the attempt, the words to start it with; called in a thread.
            save: Stores what became of the run on the way.

        Returns:
            The run as it was stored last.

        Raises:
            AdaptationError: It failed, or its process was gone too often.
        """
        is_watched = False
        while True:
            job = self._job(run, folder)
            state = await asyncio.to_thread(job.state)
            if state == "ended":
                return self._checked(run, job.end())
            if state == "lost":
                run = await save(self._after_loss(run, job, is_watched=is_watched))
                continue
            if self._must_pause():
                run = await self._paused(run, job, save, is_running=state == "running")
            elif state == "new":
                await asyncio.to_thread(self._start, job, command)
            is_watched = True
            await asyncio.sleep(self._settings.poll_s)

    async def halt(self, run: AdaptationRun, folder: AdaptationFolder) -> None:
        """End the process of a run."""
        await asyncio.to_thread(self._job(run, folder).stop)

    def _job(self, run: AdaptationRun, folder: AdaptationFolder) -> Job:
        return Job(folder.job(self._name, run.attempt), self._settings)

    def _start(self, job: Job, command: Callable[[Path], Sequence[str]]) -> None:
        _end_others(job, self._settings)
        job.start(command(job.folder))

    def _checked(self, run: AdaptationRun, end: JobEnd) -> AdaptationRun:
        if end.is_too_long or end.code:
            raise AdaptationError(end.explain(self._name))
        return run

    async def _paused(self, run: AdaptationRun, job: Job, save: Save, *, is_running: bool) -> AdaptationRun:
        """The run with an attempt that begins after the quiet hours; no process of it goes on."""
        message = f"{self._name} waits for the end of the quiet hours"
        if is_running:
            run = await save(replace(run, attempt=run.attempt + 1, message=message))
            await asyncio.to_thread(job.stop)
        elif run.message != message:
            run = await save(replace(run, message=message))
        await asyncio.to_thread(_end_others, job, self._settings)
        return run

    def _after_loss(self, run: AdaptationRun, job: Job, *, is_watched: bool) -> AdaptationRun:
        """The run with another attempt, if its process may have ended together with the server before."""
        if is_watched or run.num_losses >= _MOST_LOSSES:
            tail = f": {line}" if (line := job.last_line()) else ""
            raise AdaptationError(f"the process of {self._name} is gone, and did not say how it ended{tail}")
        message = f"{self._name} was gone after the server came back, and begins again from its last epoch"
        return replace(run, attempt=run.attempt + 1, num_losses=run.num_losses + 1, message=message)


def _end_others(job: Job, settings: JobSettings) -> None:
    """End the processes of all other attempts."""
    for path in job.folder.parent.iterdir() if job.folder.parent.is_dir() else ():
        if path != job.folder:
            Job(path, settings).stop()
