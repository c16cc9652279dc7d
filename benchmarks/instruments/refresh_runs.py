"""Adaptations of a release on a snapshot through the public command; complete ones are taken as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness import ROOT
from reid.files import sha256_of, write_json_atomic
from reid.release import Release, load_release
from reid.snapshot import CROPS_FILE
from train.errors import TrainingError
from train.run_folder import CHECKPOINT_FILE, RELEASE_FOLDER

ARCHITECTURE = "osnet_x0_25"
_TASK_FILE = "task.json"


@dataclass(frozen=True, kw_only=True)
class RefreshRun:
    """One run, in a folder of its own.

    Attributes:
        folder: Of the run.
        snapshot: What it trains on.
        parent: Folder of the release that it starts from.
        method: Recipe.
        seed: Of the run.
        num_epochs: Instead of the recipe's.
        is_compatible: With the compatibility term.
    """

    folder: Path
    snapshot: Path
    parent: Path
    method: str
    seed: int
    num_epochs: int
    is_compatible: bool = True

    @property
    def release(self) -> Path:
        """What it makes."""
        return self.folder / RELEASE_FOLDER

    @property
    def is_complete(self) -> bool:
        """Whether it has made it."""
        return (self.release / "manifest.json").is_file()


def complete(run: RefreshRun, *, cache: Path) -> Release:
    """Bring a run to its end: start it, go on with it, or find that it is done.

    Raises:
        TrainingError: The folder holds a run of another task.
        CalledProcessError: The command failed; its error output was shown.
    """
    _check_task(run)
    if not run.is_complete:
        subprocess.run(command(run, cache=cache), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return load_release(run.release)


def command(run: RefreshRun, *, cache: Path) -> list[str]:
    """The public command that starts a run, or goes on with it."""
    options = {
        "--data": "snapshot",
        "--data-root": run.snapshot,
        "--init": run.parent,
        "--method": run.method,
        "--seed": run.seed,
        "--epochs": run.num_epochs,
        "--out": run.folder,
        "--cache": cache,
    }
    words = [word for option, value in options.items() for word in (option, str(value))]
    words.append("--compatible" if run.is_compatible else "--no-compatible")
    is_started = (run.folder / CHECKPOINT_FILE).exists()
    return [sys.executable, "-m", "train", "adapt", *words, "--json", *(["--resume"] if is_started else [])]


def import_parent(checkpoint: Path, folder: Path) -> Release:
    """The release of public weights; made when it is not there.

    Raises:
        CalledProcessError: The command failed; its error output was shown.
    """
    if not (folder / "manifest.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = ["import-checkpoint", str(checkpoint), "--arch", ARCHITECTURE, "--out", str(folder)]
        subprocess.run([sys.executable, "-m", "train", *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return load_release(folder)


def _check_task(run: RefreshRun) -> None:
    """Write down what a new run is, and refuse a folder with another one.

    Raises:
        TrainingError: It holds another.
    """
    task = asdict(run) | {
        "folder": run.folder.name,
        "snapshot": sha256_of(run.snapshot / CROPS_FILE),
        "parent": load_release(run.parent).ref.space,
    }
    path = run.folder / _TASK_FILE
    if not path.is_file():
        run.folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, task)
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = sorted(key for key in task if found.get(key) != task[key])
    if differing:
        raise TrainingError(
            f"{run.folder} holds another run ({', '.join(differing)} differ): give another --runs folder, "
            "or move that one away"
        )
