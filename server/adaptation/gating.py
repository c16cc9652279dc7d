"""The step that judges a candidate release: the gate in a process of its own, then the registry."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reid.files import write_json_atomic
from reid.release import Release
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import Save
from server.adaptation.run import AdaptationRun, next_step
from server.adaptation.watch import JobWatch
from server.errors import AdaptationError
from server.gate.settings import GateSettings
from server.gate.verdict import Verdict

_VERDICT_FILE = "verdict.json"
GATE_COMMAND = (sys.executable, "-m", "server", "gate")


class Gating:
    """Has a candidate judged, and registers it.

    Args:
        watch: Of the process.
        release: A registered release, by its space.
        register: Takes a release folder and its verdict into the registry; again is no harm.
        bounds: What a candidate has to reach.
        num_threads: Of the process; 0 for one per core.
        roll_out: What is accepted goes to the edges at once.
        folder: That of a run, by its number.
        clock_us: Microseconds since the Unix epoch.
        command: The gate.
    """

    def __init__(
        self,
        watch: JobWatch,
        *,
        release: Callable[[str], Release],
        register: Callable[[Path, Verdict], object],
        bounds: GateSettings,
        num_threads: int,
        roll_out: bool,
        folder: Callable[[int], AdaptationFolder],
        clock_us: Callable[[], int],
        command: Sequence[str] = GATE_COMMAND,
    ) -> None:
        self._watch = watch
        self._release = release
        self._register = register
        self._bounds = bounds
        self._num_threads = num_threads
        self._roll_out = roll_out
        self._folder = folder
        self._clock_us = clock_us
        self._gate = command

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """See `Step`."""
        folder = self._folder(run.run_key)
        parent = self._release(run.parent).folder.resolve()
        await asyncio.to_thread(write_json_atomic, folder.bounds, self._bounds.model_dump(mode="json"))
        run = await self._watch.to_end(run, folder, lambda job: self._command(folder, parent, job), save)
        verdict = read_verdict(folder.job("gate", run.attempt) / _VERDICT_FILE)
        await asyncio.to_thread(write_json_atomic, folder.verdict, verdict.to_json())
        await asyncio.to_thread(self._register, folder.release, verdict)
        now_us = self._clock_us()
        if not verdict.is_accepted:
            reasons = "; ".join(check.reason for check in verdict.failed)
            return next_step(run, "refused", message=reasons, now_us=now_us)
        if not self._roll_out:
            message = f"{verdict.summary}; 'osprey-server rollout start {run.space}' brings it to the edges"
            return next_step(run, "done", message=message, now_us=now_us)
        return next_step(run, "rolling_out", message=verdict.summary, now_us=now_us)

    async def halt(self, run: AdaptationRun) -> None:
        """See `Step`."""
        await self._watch.halt(run, self._folder(run.run_key))

    def _command(self, folder: AdaptationFolder, parent: Path, job: Path) -> Sequence[str]:
        words = {
            "--candidate": folder.release,
            "--parent": parent,
            "--snapshot": folder.snapshot,
            "--out": job / _VERDICT_FILE,
            "--bounds": folder.bounds,
            "--examples": folder.examples,
            "--threads": self._num_threads,
        }
        return [*self._gate, *(str(word) for pair in words.items() for word in pair)]


def read_verdict(path: Path) -> Verdict:
    """The verdict in a file.

    Raises:
        AdaptationError: There is none.
        ReleaseError: It is none.
    """
    try:
        return Verdict.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise AdaptationError(f"the gate left no verdict in {path}: {error}") from None
