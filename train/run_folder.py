"""What a training run leaves behind, and what it needs to go on.

config.json     the whole config of the run and the data it was given; a run with another config is refused
checkpoint.pt   weights, optimiser and progress after the last epoch (or at Ctrl-C); replaced whole
metrics.json    the figures of every finished epoch, and a summary
final.pt        weights alone, when the run is complete: what `osprey-train export` takes
release/        the same as a release, after an adaptation

A folder holds a run from its first checkpoint on. It is gone on with only when that is asked for, so that nobody takes
the end of an old run for that of a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.files import write_json_atomic
from train.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from train.errors import CheckpointError, TrainingError
from train.network import Network

CONFIG_FILE = "config.json"
CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"
FINAL_FILE = "final.pt"
RELEASE_FOLDER = "release"


class RunFolder:
    """The folder of one run.

    Args:
        path: Made if missing.
        config: Everything the run depends on, as plain JSON values.
        resume: Go on with the run that the folder holds.

    Raises:
        TrainingError: The folder holds a run and `resume` is not given, or holds none and it is, or holds one with
            another config; the keys that differ are named.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        if self.holds_run and not resume:
            raise TrainingError(f"{path} holds a run: go on with it by --resume, or give another output folder")
        if resume and not self.holds_run:
            raise TrainingError(f"{path} holds no run to go on with: start one without --resume")
        if resume:
            self._check_config(config)
        path.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path / CONFIG_FILE, dict(config))

    @property
    def holds_run(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.path / CHECKPOINT_FILE).exists()

    @property
    def final_path(self) -> Path:
        """Weights of the complete run."""
        return self.path / FINAL_FILE

    @property
    def release_path(self) -> Path:
        """Release that is made of the complete run."""
        return self.path / RELEASE_FOLDER

    def load_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from; None in a folder without one.

        Raises:
            CheckpointError: It is damaged.
        """
        path = self.path / CHECKPOINT_FILE
        return read_checkpoint(path) if path.exists() else None

    def save_checkpoint(self, network: Network, training: Mapping[str, Any]) -> None:
        """Replace the checkpoint, whole.

        Raises:
            CheckpointError: It cannot be written; the old one is intact.
        """
        path = self.path / CHECKPOINT_FILE
        try:
            save_checkpoint(path, network, training=training)
        except OSError as error:
            raise CheckpointError(
                f"cannot write {path}: {error.strerror}; the one before is intact: free space and start again"
            ) from None

    def save_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace the figures of all finished epochs.

        Args:
            history: Figures of each epoch; `epoch`, `duration_s` and, where it was scored, `mAP` enter the summary.
        """
        write_json_atomic(self.path / METRICS_FILE, {"summary": summarise(history), "epochs": list(history)})

    def save_final(self, network: Network) -> None:
        """Write the weights of the complete run."""
        save_checkpoint(self.final_path, network)

    def say_stopped(self) -> str:
        """How to go on with a run that was stopped, for its user."""
        if self.holds_run:
            return f"stopped; the same command with --resume goes on from {self.path}"
        return "stopped within the first epoch, of which nothing is kept: the same command starts again"

    def _check_config(self, config: Mapping[str, Any]) -> None:
        path = self.path / CONFIG_FILE
        if not path.is_file():
            return
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TrainingError(f"{path} is damaged ({error}): give another output folder") from None
        new = json.loads(json.dumps(config))
        differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if differing:
            raise TrainingError(
                f"{self.path} holds a run with another config ({', '.join(differing)}): give another output folder"
            )


def summarise(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a reader of many runs wants of each: how long, how it ended, and its best score."""
    scored = [line for line in history if "mAP" in line]
    best = max(scored, key=lambda line: line["mAP"], default=None)
    return {
        "num_epochs": len(history),
        "duration_s": sum(line.get("duration_s", 0.0) for line in history),
        "last": dict(history[-1]) if history else {},
        **({} if best is None else {"best": {"epoch": best["epoch"], "mAP": best["mAP"]}}),
    }
