"""The folder of a run, `DATA/adaptation/RUN_KEY`.

wanted.json    the crops it asked for
snapshot/      its data set (`reid.snapshot`); removed with the rest of the crops when the run has ended
trained_on     sha256 of the crops that the training began with
run/           what the training writes: progress.json, metrics.json, projection.json, release/
bounds.json    what the gate asks for
verdict.json   what it says
examples.json  what parent and candidate find of some held-out crops (`server.adaptation.examples`)
jobs/          a folder for each process that was started (`server.adaptation.job`)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from reid.files import sha256_of, write_atomic
from reid.snapshot import CROPS_FILE, SNAPSHOT_FILE

_CHECKPOINT_FILE = "checkpoint.pt"
"""What `osprey-train adapt --resume` goes on from."""
_TRAINED_ON_FILE = "trained_on"
_LARGE = ("*.pt", "*.safetensors")


@dataclass(frozen=True)
class RunProgress:
    """How far a training is.

    Attributes:
        share: Of its steps, in [0, 1].
        epochs: Figures of each finished epoch, with its number.
    """

    share: float
    epochs: tuple[tuple[int, Mapping[str, float]], ...]


class ProjectedPoint(NamedTuple):
    """A training sample, or a support made from one, laid out in a plane."""

    x: float
    y: float
    cluster: int
    is_support: bool


class AdaptationFolder:
    """Names what lies where.

    Args:
        path: `DATA/adaptation/RUN_KEY`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wanted = path / "wanted.json"
        self.snapshot = path / "snapshot"
        self.run = path / "run"
        self.release = self.run / "release"
        self.bounds = path / "bounds.json"
        self.verdict = path / "verdict.json"
        self.examples = path / "examples.json"

    @property
    def has_snapshot(self) -> bool:
        """The data set is whole."""
        return (self.snapshot / SNAPSHOT_FILE).is_file()

    def can_resume(self) -> bool:
        """True if the training finished an epoch on these very crops, and can go on from there.

        What was trained on other crops, as before somebody was erased, is removed.

        Raises:
            OSError: The folder cannot be read or written.
        """
        crops, trained_on = sha256_of(self.snapshot / CROPS_FILE), self.path / _TRAINED_ON_FILE
        if (self.run / _CHECKPOINT_FILE).is_file() and trained_on.is_file() and trained_on.read_text() == crops:
            return True
        shutil.rmtree(self.run, ignore_errors=True)
        write_atomic(trained_on, crops.encode())
        return False

    def job(self, name: str, attempt: int) -> Path:
        """Folder of a process."""
        return self.path / "jobs" / f"{name}-{attempt}"

    def progress(self) -> RunProgress:
        """How far the training is; nothing yet if it has not begun."""
        epochs = _epochs(_read(self.run / "metrics.json"))
        live = _read(self.run / "progress.json")
        if not isinstance(live, dict):
            return RunProgress(0.0, epochs)
        num_epochs, num_steps = max(1, int(live["num_epochs"])), max(1, int(live["num_steps"]))
        done = int(live["epoch"]) - 1 + int(live["step"]) / num_steps
        return RunProgress(min(1.0, max(0.0, done / num_epochs)), epochs)

    def projection(self) -> tuple[ProjectedPoint, ...]:
        """Points of its clusters in a plane; none before the training has ended, or where the method draws none."""
        content = _read(self.run / "projection.json")
        points = content.get("points", []) if isinstance(content, dict) else []
        return tuple(ProjectedPoint(float(x), float(y), int(cluster), bool(kind)) for x, y, cluster, kind in points)

    def tidy(self) -> None:
        """Remove crops and weights; figures, verdict and logs stay."""
        for folder in (self.snapshot, self.release, self.run / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
        for pattern in _LARGE:
            for path in self.run.glob(pattern):
                path.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    """A JSON file, or None while there is none; one of another program may be half written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _epochs(metrics: Any) -> tuple[tuple[int, Mapping[str, float]], ...]:
    lines = metrics.get("epochs", []) if isinstance(metrics, dict) else metrics or []
    return tuple((int(line["epoch"]), _numbers(line)) for line in lines if "epoch" in line)


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in line.items() if isinstance(value, Real) and name != "epoch"}
