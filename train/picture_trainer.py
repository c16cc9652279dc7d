"""Trains a network on pictures that are dealt at random, one by one: attributes of persons, kinds of things.

Identities are another matter (`train.supervised`): there a batch is P people x K crops.

A run is a function of its settings and its pictures: batches follow from (seed, epoch), changes to a batch from (seed,
epoch, step). Checkpoints are written between epochs; a run that was broken off repeats the epoch it was in and goes on
to the losses it would have had.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from reid.settings import Settings
from reid.types import IntArray, UInt8Array
from train.architectures import build_network
from train.augment import AugmentSettings, augment
from train.checkpoint import load_network
from train.epochs import Epochs, OnEpoch, OnStep
from train.errors import TrainingError
from train.evaluator import Evaluate
from train.learner import Learner, Precision
from train.network import Network
from train.optimiser import OptimiserSettings, learning_rate
from train.run_folder import RunFolder
from train.start import read_start


class PictureSettings(Settings):
    """Everything that such a run depends on, save the pictures."""

    architecture: str = "osnet_x1_0"
    init: str = ""
    """Folder of a release, or a checkpoint, to start from; empty for from scratch."""
    seed: int = 1
    num_epochs: int = Field(default=50, gt=0)
    batch_size: int = Field(default=64, gt=1)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the running mean of the weights that stays at each step; the mean is what is kept. 0 switches it off."""
    precision: Precision = "bf16"
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()


class PictureTask(Protocol):
    """What is to be learned."""

    @property
    def pictures(self) -> UInt8Array:
        """uint8 (N, H, W, 3) BGR, may be memory-mapped."""

    @property
    def num_outputs(self) -> int:
        """Numbers that the classifier gives."""

    def loss(self, classifier: nn.Linear, feats_BD: Tensor, rows_B: IntArray) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            classifier: The network's.
            feats_BD: float32 features, with gradient, not normalised.
            rows_B: Which pictures they are of.
        """


class PictureTrainer:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        task: Pictures and loss.
        folder: Where checkpoints and metrics go.
        evaluate: Scores of a network, asked after every `evaluate_every` epochs and the last; or None.
        evaluate_every: Epochs.
        device: `cpu`, `cuda`, …

    Raises:
        TrainingError: There are fewer than two pictures.
        CheckpointError: `settings.init` or the folder's checkpoint cannot be loaded.
    """

    def __init__(
        self,
        settings: PictureSettings,
        task: PictureTask,
        folder: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        device: str = "cpu",
    ) -> None:
        num_pictures = len(task.pictures)
        if num_pictures < 2:
            raise TrainingError(f"{num_pictures} pictures to learn from: a batch needs two")
        self._settings = settings
        self._task = task
        self._batch_size = min(settings.batch_size, num_pictures)
        self.num_steps = num_pictures // self._batch_size
        torch.manual_seed(settings.seed)
        self._learner = Learner(
            _initial_network(settings, task.num_outputs),
            settings.optimiser,
            ema_decay=settings.ema_decay,
            precision=settings.precision,
            device=device,
        )
        self._epochs = Epochs(
            settings.num_epochs, self._learner, folder, evaluate=evaluate, evaluate_every=evaluate_every
        )

    @property
    def kept(self) -> Network:
        """The weights that the run is judged by."""
        return self._learner.kept

    @property
    def history(self) -> list[dict[str, Any]]:
        """One line of figures per finished epoch."""
        return list(self._epochs.history)

    def run(
        self,
        stop: threading.Event,
        on_step: OnStep = lambda epoch, step, loss: None,
        on_epoch: OnEpoch = lambda history: None,
    ) -> bool:
        """Train to the end, or until the event is set; the folder keeps the last finished epoch to go on from.

        Returns:
            True if the run is complete; its weights are then in the folder's `final.pt`.

        Raises:
            TrainingError: The loss is not finite; the folder keeps its last good checkpoint.
        """
        return self._epochs.run(lambda: self._run_epoch(stop, on_step), on_epoch)

    def _run_epoch(self, stop: threading.Event, on_step: OnStep) -> dict[str, Any] | None:
        settings, epoch = self._settings, self._epochs.done
        started = time.perf_counter()
        dealt = np.random.default_rng([settings.seed, epoch]).permutation(len(self._task.pictures))
        losses: list[float] = []
        self._learner.network.train()
        for step in range(self.num_steps):
            if stop.is_set():
                return None
            losses.append(self._step(np.sort(dealt[step * self._batch_size :][: self._batch_size]), step))
            on_step(epoch + 1, step + 1, losses[-1])
        duration_s = time.perf_counter() - started
        return {
            "epoch": epoch + 1,
            "loss": float(np.mean(losses)),
            "lr": learning_rate((epoch + 1) / settings.num_epochs, settings.optimiser),
            "images_per_s": len(losses) * self._batch_size / duration_s,
            "duration_s": duration_s,
        }

    def _step(self, rows: IntArray, step: int) -> float:
        settings, epoch = self._settings, self._epochs.done
        # Steps from 1 on: a seed that ends in 0 is the same as one without, which the deal of the epoch has.
        rng = np.random.default_rng([settings.seed, epoch, step + 1])
        feats = self._learner.features(augment(self._task.pictures[rows], settings.augment, rng))
        classifier = self._learner.network.classifier
        assert classifier is not None
        return self._learner.learn(
            self._task.loss(classifier, feats, rows),
            progress=(epoch + step / self.num_steps) / settings.num_epochs,
            where=f"epoch {epoch + 1}, step {step + 1}",
        )


def _initial_network(settings: PictureSettings, num_outputs: int) -> Network:
    if not settings.init:
        return build_network(settings.architecture, num_classes=num_outputs)
    network = load_network(read_start(Path(settings.init)).checkpoint, settings.architecture)
    network.reset_classifier(num_outputs)
    return network
