"""The figures of a run as TensorBoard events, for those who have the package `tensorboard` (extra `tensorboard`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from train.errors import TrainingError


class EventLog:
    """Event files of one run. Made by `open_event_log`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, figures: Mapping[str, Any]) -> None:
        """Add the figures of one epoch, which they name themselves; they are on disk when this returns."""
        for name, value in figures.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, figures["epoch"])
        self._writer.flush()


@contextmanager
def open_event_log(folder: Path) -> Iterator[EventLog]:
    """Open the event log of a run.

    Args:
        folder: Made if missing; a run that goes on adds a file to those that are there.

    Raises:
        TrainingError: The package `tensorboard` is not installed.
    """
    try:
        # Here and not above: it is optional, and takes a second to import.
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
    except ImportError:
        raise TrainingError(
            "TensorBoard events need the package tensorboard: pip install 'osprey-reid[tensorboard]', "
            "or leave --tensorboard out (metrics.json and curves.png have the same figures)"
        ) from None
    with SummaryWriter(str(folder)) as writer:
        yield EventLog(writer)
