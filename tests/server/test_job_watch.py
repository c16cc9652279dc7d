from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from server.adaptation.folder import AdaptationFolder
from server.adaptation.job import Job
from server.adaptation.run import AdaptationRun
from server.adaptation.settings import JobSettings
from server.adaptation.watch import JobWatch
from server.errors import AdaptationError

RUN = AdaptationRun(
    run_key=1, state="training", trigger="operator", actor="ann", started_us=1, changed_us=1, parent="a-1"
)
SETTINGS = JobSettings(grace_s=5, poll_s=0.02)


@dataclass
class Saved:
    """What a watch stored, in order."""

    runs: list[AdaptationRun] = field(default_factory=list)

    async def __call__(self, run: AdaptationRun) -> AdaptationRun:
        self.runs.append(run)
        return run


def command(program: str) -> Callable[[Path], Sequence[str]]:
    return lambda _: [sys.executable, "-c", program]


def watch(
    tmp_path: Path,
    program: str,
    *,
    run: AdaptationRun = RUN,
    saved: Saved | None = None,
    pause: Callable[[], bool] = lambda: False,
) -> Coroutine[Any, Any, AdaptationRun]:
    watching = JobWatch("training", SETTINGS, pause)
    return watching.to_end(run, AdaptationFolder(tmp_path), command(program), saved or Saved())


def pid_of(job: Job) -> int:
    until_s = time.monotonic() + 20
    while not job.last_line().isdecimal():
        assert time.monotonic() < until_s, "the command never came up"
        time.sleep(0.02)
    return int(job.last_line())


def test_a_process_is_started_and_watched_to_its_end(tmp_path: Path) -> None:
    assert asyncio.run(watch(tmp_path, "print('ok')")) == RUN
    assert Job(tmp_path / "jobs" / "training-0", SETTINGS).end().last_line == "ok"


def test_a_process_that_runs_is_found_and_not_started_again(tmp_path: Path) -> None:
    Job(tmp_path / "jobs" / "training-0", SETTINGS).start(
        [sys.executable, "-c", "import time; time.sleep(0.5); print('first')"]
    )
    asyncio.run(watch(tmp_path, "print('second')"))
    assert Job(tmp_path / "jobs" / "training-0", SETTINGS).end().last_line == "first"


def test_one_that_was_gone_with_the_server_begins_again(tmp_path: Path) -> None:
    job = Job(tmp_path / "jobs" / "training-0", SETTINGS)
    job.start([sys.executable, "-c", "import os,time; print(os.getppid(), flush=True); time.sleep(60)"])
    os.kill(pid_of(job), signal.SIGKILL)
    while job.state() != "lost":
        time.sleep(0.02)
    saved = Saved()
    run = asyncio.run(watch(tmp_path, "print('again')", saved=saved))
    assert (run.attempt, run.num_losses, saved.runs) == (1, 1, [run])
    assert Job(tmp_path / "jobs" / "training-1", SETTINGS).end().last_line == "again"


def test_one_that_is_killed_while_watched_fails_the_run(tmp_path: Path) -> None:
    program = "import os,signal; print('epoch 3', flush=True); os.kill(os.getppid(), signal.SIGKILL)"
    with pytest.raises(AdaptationError, match=r"training is gone, and did not say how it ended: epoch 3"):
        asyncio.run(watch(tmp_path, program))


def test_a_failure_is_told_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(AdaptationError, match="training ended with code 1: error: loss is not finite"):
        asyncio.run(watch(tmp_path, "import sys; sys.exit('error: loss is not finite')"))


def test_earlier_attempts_are_ended_before_another_begins(tmp_path: Path) -> None:
    earlier = Job(tmp_path / "jobs" / "training-0", SETTINGS)
    earlier.start([sys.executable, "-c", "import os,time; print(os.getpid(), flush=True); time.sleep(60)"])
    pid_of(earlier)
    later = AdaptationRun(**{**RUN.__dict__, "attempt": 1})
    asyncio.run(watch(tmp_path, "print('ok')", run=later))
    assert earlier.state() == "ended"


def test_quiet_hours_pause_a_process_and_start_it_again_afterwards(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    program = (
        f"import pathlib,time\nmarker = pathlib.Path({str(marker)!r})\n"
        "if not marker.exists():\n  marker.touch(); time.sleep(60)\nprint('went on')"
    )
    quiet_until_s: list[float] = []

    def pause() -> bool:
        if marker.exists() and not quiet_until_s:
            quiet_until_s.append(time.monotonic() + 0.3)
        return bool(quiet_until_s) and time.monotonic() < quiet_until_s[0]

    saved = Saved()
    run = asyncio.run(watch(tmp_path, program, saved=saved, pause=pause))
    assert run.attempt == 1
    assert saved.runs[0].message == "training waits for the end of the quiet hours"
    assert Job(tmp_path / "jobs" / "training-1", SETTINGS).end().last_line == "went on"


def test_whoever_stops_watching_leaves_the_process_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        watching = asyncio.ensure_future(watch(tmp_path, "import time; time.sleep(0.6); print('done')"))
        await asyncio.sleep(0.4)
        watching.cancel()
        await asyncio.wait({watching})

    asyncio.run(scenario())
    job = Job(tmp_path / "jobs" / "training-0", SETTINGS)
    while job.state() in ("new", "running"):
        time.sleep(0.02)
    assert job.end().last_line == "done"
