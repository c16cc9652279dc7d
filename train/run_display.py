"""What one sees of an adaptation run while it goes on, and in the end if it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from reid.cli import transient_bar
from train.epochs import OnEpoch, OnStep
from train.errors import TrainingError
from train.event_log import open_event_log
from train.plots import draw_curves


def failure_in_words(error: Exception) -> str:
    """What ended a run, in one line.

    Raises:
        RuntimeError: It is a fault of ours, whose traceback is wanted.
    """
    if isinstance(error, TrainingError):
        return str(error)
    # Torch says on a CPU by its message alone that memory is out.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "out of memory; the last good checkpoint is kept: allow more, or choose a recipe with smaller batches"
    raise error


@contextmanager
def drawing(folder: Path, *, tensorboard: bool) -> Iterator[OnEpoch]:
    """What one can look at while a run goes on: its curves, and events if they are wanted."""
    with ExitStack() as stack:
        events = stack.enter_context(open_event_log(folder / "tensorboard")) if tensorboard else None

        def on_epoch(history: Sequence[Mapping[str, Any]]) -> None:
            draw_curves(folder / "curves.png", history)
            if events is not None:
                events.write(history[-1])

        yield on_epoch


@contextmanager
def progress_bar(num_epochs: int, num_steps: int, *, is_shown: bool) -> Iterator[OnStep]:
    """A bar on stderr that vanishes when done, moved by what it yields."""
    with transient_bar(is_shown=is_shown) as progress:
        task = progress.add_task("", total=num_epochs * num_steps)

        def on_step(epoch: int, step: int, loss: float) -> None:
            description = f"epoch {epoch}/{num_epochs}  loss {loss:.3f}"
            progress.update(task, description=description, completed=(epoch - 1) * num_steps + step)

        yield on_step
