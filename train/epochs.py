"""The epochs of a run: counted, scored, reported, and kept in its folder to go on from.

A checkpoint is written between epochs; a run that was broken off repeats the epoch it was in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from train.checkpoint import Checkpoint
from train.distributed import ALONE, Ranks
from train.evaluator import Evaluate
from train.learner import Learner
from train.run_folder import RunFolder

logger = structlog.get_logger(__name__)

OnStep = Callable[[int, int, float], None]
"""Called after each step with the epoch from 1, the step from 1, and the loss."""
OnEpoch = Callable[[Sequence[Mapping[str, Any]]], None]
"""Called after each epoch, once its checkpoint is written, with the figures of all epochs so far."""

Figures = dict[str, Any]


class Epochs:
    """Continues from the folder's checkpoint if there is one.

    Args:
        count: Epochs of the run.
        learner: What learns; takes its weights from the checkpoint.
        folder: Where checkpoints and metrics go.
        evaluate: Scores of a network, asked after every `evaluate_every` epochs and the last; or None.
        evaluate_every: Epochs.
        ranks: The processes that share this run; only the first scores, reports and writes.

    Attributes:
        done: Epochs that are over.
        history: One line of figures for each of them.
        restored: What the checkpoint says of the training; empty in a new run.

    Raises:
        CheckpointError: The folder's checkpoint is of another kind of run.
    """

    def __init__(
        self,
        count: int,
        learner: Learner,
        folder: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        ranks: Ranks = ALONE,
    ) -> None:
        self._count = count
        self._learner = learner
        self._folder = folder
        self._evaluate = evaluate
        self._evaluate_every = evaluate_every
        self._ranks = ranks
        self.done = 0
        self.history: list[Figures] = []
        self.restored: Mapping[str, Any] = {}
        checkpoint = folder.load_checkpoint()
        if checkpoint is not None:
            self._restore(checkpoint)

    def run(
        self,
        run_epoch: Callable[[], Figures | None],
        on_epoch: OnEpoch,
        *,
        state: Callable[[], Mapping[str, Any]] = dict,
    ) -> bool:
        """Run what is left.

        Args:
            run_epoch: Runs the next epoch and gives its figures; None if it was stopped before its end.
            on_epoch: See `OnEpoch`.
            state: What the trainer keeps in checkpoints beside the learner's state; comes back as `restored`.

        Returns:
            True if the run is complete; its weights are then in the folder's `final.pt`.
        """
        while self.done < self._count:
            figures = run_epoch()
            if figures is None:
                return False
            self._finish(figures, state)
            if self._ranks.is_first:
                on_epoch(list(self.history))
        if self._ranks.is_first:
            self._folder.save_final(self._learner.kept)
        return True

    def _finish(self, figures: Figures, state: Callable[[], Mapping[str, Any]]) -> None:
        self.done += 1
        is_due = self.done == self._count or self.done % self._evaluate_every == 0
        if self._evaluate is not None and self._ranks.is_first and is_due:
            figures |= self._evaluate(self._learner.kept)
        self.history.append(figures)
        if self._ranks.is_first:
            self._save(state())
        logger.info("epoch done", **{k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()})

    def _save(self, state: Mapping[str, Any]) -> None:
        progress = {"epochs_done": self.done, "history": self.history}
        learned = self._learner.state(where=f"epoch {self.done}")
        self._folder.save_checkpoint(self._learner.network, {**learned, **progress, **state})
        self._folder.save_metrics(self.history)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.restored = self._learner.restore(checkpoint)
        self.done, self.history = int(self.restored["epochs_done"]), list(self.restored["history"])
        logger.info("going on", epoch=self.done + 1)
