"""How far a run is, as a file that another process may read at any moment.

{"epoch": 3, "num_epochs": 8, "step": 4, "num_steps": 10, "loss": 2.31, "time_us": 1795689600000000}
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reid.files import write_json_atomic

PROGRESS_FILE = "progress.json"
LEAST_INTERVAL_S = 1.0
"""The file is rewritten no more often, save after the last step of all."""


class ProgressFile:
    """The progress file of one run; a function to call after each step.

    Args:
        folder: Of the run; exists.
        num_epochs: Of the run.
        num_steps: In each epoch.
        clock_s: Seconds since the Unix epoch.
    """

    def __init__(
        self, folder: Path, *, num_epochs: int, num_steps: int, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._path = folder / PROGRESS_FILE
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._clock_s = clock_s
        self._written_s = float("-inf")

    def __call__(self, epoch: int, step: int, loss: float) -> None:
        """Take note of a step, both numbers from 1."""
        now_s = self._clock_s()
        is_last = (epoch, step) == (self._num_epochs, self._num_steps)
        # A clock that was set back must not silence the file.
        if not is_last and 0 <= now_s - self._written_s < LEAST_INTERVAL_S:
            return
        self._written_s = now_s
        content = {
            "epoch": epoch,
            "num_epochs": self._num_epochs,
            "step": step,
            "num_steps": self._num_steps,
            "loss": loss,
            "time_us": int(now_s * 1e6),
        }
        write_json_atomic(self._path, content)
