"""Trainings through the public command, each in a folder of its own; complete ones are taken as they are.

A folder says what it holds (`task.json`) and what it cost (`cost.json`): minutes of its process, over all attempts, and
the most memory that it took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from reid.files import sha256_of, write_json_atomic
from reid.settings import Settings
from train.errors import TrainingError
from train.run_folder import CHECKPOINT_FILE, FINAL_FILE, METRICS_FILE

SCORES = ("mAP", "R1", "R5")
_TASK_FILE, _COST_FILE = "task.json", "cost.json"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took.

    Attributes:
        minutes: Wall clock.
        peak_mib: Resident memory of its process.
    """

    minutes: float = 0.0
    peak_mib: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """One run.

    Attributes:
        name: For tables, for example `ecn`.
        seed: Of the run.
        folder: Of the run.
        words: Command and options, for example `adapt --method ecn`; neither seed, files nor folders.
        settings: What its recipe is now.
        files: Options that name files and folders; not a part of what the run is.
        init: Weights that it starts from; None for a run from scratch.
        device: Where it computes; not a part of what the run is.
    """

    name: str
    seed: int
    folder: Path
    words: tuple[str, ...]
    settings: Settings
    files: Mapping[str, Path]
    init: Path | None
    device: str = "cpu"

    @property
    def is_complete(self) -> bool:
        """Whether it has come to its end."""
        return (self.folder / FINAL_FILE).is_file()

    @property
    def history(self) -> list[dict[str, Any]]:
        """Figures of every finished epoch; empty where there is none."""
        return list(_read(self.folder / METRICS_FILE).get("epochs", []))

    @property
    def scores(self) -> dict[str, float]:
        """mAP, R1 and R5 after the last epoch, in percent.

        Raises:
            TrainingError: It was not scored.
        """
        last = self.history[-1] if self.history else {}
        if not set(SCORES) <= set(last):
            raise TrainingError(f"{self.folder} has no scores after its last epoch: remove it, to run it again")
        return {name: 100 * float(last[name]) for name in SCORES}

    @property
    def cost(self) -> Cost:
        """What it has taken so far."""
        return Cost(**_read(self.folder / _COST_FILE))

    @property
    def command(self) -> list[str]:
        """The public command that starts it, or goes on with it."""
        files = {**self.files, **({} if self.init is None else {"--init": self.init}), "--out": self.folder}
        options = [word for option, value in files.items() for word in (option, str(value))]
        is_started = (self.folder / CHECKPOINT_FILE).exists()
        options += ["--seed", str(self.seed), "--device", self.device, "--json", *(["--resume"] if is_started else [])]
        return [sys.executable, "-m", "train", *self.words, *options]


def complete(run: CommandRun) -> None:
    """Bring a run to its end: start it, go on with it, or find that it is done.

    Raises:
        TrainingError: The folder holds another run, or the command failed; its error output was shown.
    """
    check_task(run)
    if run.is_complete:
        return
    before, started = run.cost, time.perf_counter()
    process = subprocess.Popen(run.command, cwd=ROOT, stdout=subprocess.DEVNULL)
    # Not wait(): only this tells what one process took.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = {
        "minutes": before.minutes + (time.perf_counter() - started) / 60,
        "peak_mib": max(before.peak_mib, usage.ru_maxrss / 1024),
    }
    write_json_atomic(run.folder / _COST_FILE, cost)
    if process.returncode != 0:
        raise TrainingError(f"{run.name} with seed {run.seed} ended with code {process.returncode}: see {run.folder}")


def check_task(run: CommandRun) -> None:
    """Write down what a new run is, and refuse a folder with another one.

    Raises:
        TrainingError: It holds another.
    """
    task = {
        "words": list(run.words),
        "seed": run.seed,
        "settings": run.settings.model_dump(mode="json"),
        "init_sha256": "" if run.init is None else sha256_of(run.init),
    }
    path = run.folder / _TASK_FILE
    if not path.is_file():
        run.folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, task)
    found = _read(path)
    differing = sorted(key for key in task if found.get(key) != task[key])
    if differing:
        raise TrainingError(
            f"{run.folder} holds another run ({', '.join(differing)} differ): give another --runs folder, "
            "or move that one away"
        )


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where there is none."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values
