"""What a training run leaves behind, and what it needs to go on.

config.json     the whole config of the run and the data it was given; a run with another config is refused
checkpoint.pt   weights, optimiser and progress after the last epoch (or at Ctrl-C); replaced whole
metrics.jsonl   one line of figures per finished epoch
final.pt        weights alone, when the run is complete: what `osprey-train export` takes
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.files import write_atomic, write_json_atomic
from train.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from train.errors import CheckpointError, TrainingError
from train.osnet import OSNet

CONFIG_FILE = "config.json"
CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.jsonl"
FINAL_FILE = "final.pt"


class RunFolder:
    """The folder of one run.

    Args:
        path: Made if missing.
        config: Everything the run depends on, as plain JSON values.

    Raises:
        TrainingError: The folder holds a run with another config; the keys that differ are named.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._check_config(config)
        write_json_atomic(path / CONFIG_FILE, dict(config))

    @property
    def final_path(self) -> Path:
        """Weights of the complete run."""
        return self.path / FINAL_FILE

    def load_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from; None in a folder without one.

        Raises:
            CheckpointError: It is damaged.
        """
        path = self.path / CHECKPOINT_FILE
        return read_checkpoint(path) if path.exists() else None

    def save_checkpoint(self, network: OSNet, training: Mapping[str, Any]) -> None:
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
        """Replace the figures of all finished epochs."""
        write_atomic(self.path / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in history).encode())

    def save_final(self, network: OSNet) -> None:
        """Write the weights of the complete run."""
        save_checkpoint(self.final_path, network)

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
