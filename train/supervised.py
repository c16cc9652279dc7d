"""Supervised training of an OSNet: cross-entropy over identities and, if wanted, a batch-hard triplet loss.

A run is a function of its settings, its data and nothing else: the batches of an epoch follow from (seed, epoch), the
changes to a batch from (seed, epoch, step). So a run that was broken off goes on to the losses it would have had, from
any step. What a run leaves behind is in `train.run_folder`.

Early epochs may run at a smaller input (`Stage`): the network is fully convolutional up to its pooling, and most of
what it has to learn first can be seen in small pictures at a quarter of the cost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from reid.settings import Settings
from reid.types import IntArray, UInt8Array
from train.architectures import build_network
from train.augment import AugmentSettings, augment, resize_batch
from train.checkpoint import Checkpoint, load_network
from train.crop_cache import CachedCrops
from train.datasets.samples import camids_of, class_labels, pids_of
from train.errors import CheckpointError
from train.evaluator import Evaluate
from train.learner import Learner, Precision
from train.losses.triplet import batch_hard_triplet
from train.network import Network
from train.optimiser import OptimiserSettings, learning_rate
from train.run_folder import RunFolder
from train.sampler import balanced_batches, pk_batches
from train.start import read_start

logger = structlog.get_logger(__name__)


class Stage(Settings):
    """Some epochs at one input size, with one kind of batches and losses."""

    num_epochs: int = Field(gt=0)
    num_iterations: int = Field(default=0, ge=0)
    """Steps in an epoch, identities equally often; 0 for as many as deal every crop once."""
    height_px: int = Field(default=256, ge=32, le=256)
    width_px: int = Field(default=128, ge=16, le=128)
    num_ids: int = Field(default=16, gt=1)
    """Identities in a batch."""
    num_crops: int = Field(default=4, gt=0)
    """Crops of each identity in a batch; 1 learns fastest from scratch, but leaves nothing for a triplet loss."""
    triplet_weight: float = Field(default=1.0, ge=0)
    """0 for cross-entropy alone."""
    classifier_only: bool = False
    """Leave the network as it is, batch norms too: what goes on from weights may give its new classifier a start."""


class SupervisedSettings(Settings):
    """Everything that a supervised run depends on, save the data."""

    architecture: str = "osnet_x0_25"
    seed: int = 1
    init: str = ""
    """Checkpoint or release to start from; empty for from scratch."""
    keep_classifier: bool = False
    """Start from the checkpoint's classifier too: right where it was trained on the same identities, and only there."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """What is trained how, in order; the learning rate runs over all of it."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    triplet_margin: float = Field(default=0.3, ge=0, le=2)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the running mean of the weights that stays at each step; the mean is what is kept. 0 switches it off."""
    precision: Precision = "bf16"
    """bf16: forward and backward under autocast; weights and optimiser stay in float32."""
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()

    @property
    def num_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.num_epochs for stage in self.stages)

    def stage_at(self, epoch: int) -> Stage:
        """The stage that an epoch, counted from 0, belongs to."""
        for stage in self.stages:
            if epoch < stage.num_epochs:
                return stage
            epoch -= stage.num_epochs
        return self.stages[-1]


@dataclass
class Progress:
    """Where a run is, and the sums of its current epoch. Kept in checkpoints."""

    epoch: int = 0
    step: int = 0
    """Next step of the epoch."""
    loss_sum: float = 0.0
    num_right: int = 0
    num_seen: int = 0
    duration_s: float = 0.0


OnStep = Callable[[Progress, int], None]
"""Called after each step with the progress and the number of steps in this epoch."""


class SupervisedTrainer:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        crops: Training crops with their labels.
        folder: Where checkpoints and metrics go.
        evaluate: Scores of a network, asked after every `evaluate_every` epochs and the last; or None.
        evaluate_every: Epochs.
        device: `cpu`, `cuda`, …

    Raises:
        CheckpointError: `settings.init` or the folder's checkpoint cannot be loaded.
    """

    def __init__(
        self,
        settings: SupervisedSettings,
        crops: CachedCrops,
        folder: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        device: str = "cpu",
    ) -> None:
        self._settings = settings
        self._evaluate = evaluate
        self._evaluate_every = evaluate_every
        self._crops = crops.crops
        self._labels: IntArray = class_labels(pids_of(crops.samples))
        self._camids = camids_of(crops.samples)
        self._folder = folder
        self._device = device
        self._progress = Progress()
        self._history: list[dict[str, Any]] = []
        self._set_up(num_classes=int(self._labels.max()) + 1)

    @property
    def network(self) -> Network:
        """The network in training."""
        return self._learner.network

    @property
    def history(self) -> list[dict[str, Any]]:
        """One line of figures per finished epoch."""
        return list(self._history)

    def run(self, stop: threading.Event, on_step: OnStep = lambda progress, num_steps: None) -> bool:
        """Train to the end, or until the event is set; either way the folder holds a checkpoint to go on from.

        Returns:
            True if the run is complete; its weights are then in the folder's `final.pt`.

        Raises:
            TrainingError: The loss is not finite; the folder keeps its last good checkpoint.
        """
        while self._progress.epoch < self._settings.num_epochs:
            if not self._run_epoch(stop, on_step):
                self._save()
                return False
            self._finish_epoch()
        self._folder.save_final(self._learner.kept)
        return True

    @property
    def _stage(self) -> Stage:
        return self._settings.stage_at(self._progress.epoch)

    def _set_up(self, *, num_classes: int) -> None:
        settings = self._settings
        torch.manual_seed(settings.seed)
        self._learner = Learner(
            self._initial_network(num_classes),
            settings.optimiser,
            ema_decay=settings.ema_decay,
            precision=settings.precision,
            device=self._device,
        )
        checkpoint = self._folder.load_checkpoint()
        if checkpoint is not None:
            self._restore(checkpoint)

    def _initial_network(self, num_classes: int) -> Network:
        if not self._settings.init:
            return build_network(self._settings.architecture, num_classes=num_classes)
        checkpoint = read_start(Path(self._settings.init)).checkpoint
        network = load_network(checkpoint, self._settings.architecture, keep_classifier=self._settings.keep_classifier)
        if not self._settings.keep_classifier:
            network.reset_classifier(num_classes)
        elif network.classifier is None or network.classifier.out_features != num_classes:
            raise CheckpointError(
                f"{checkpoint.path} has no classifier of the {num_classes} identities to train on: "
                "set keep_classifier to false, or give the split that it was trained on"
            )
        return network

    def _run_epoch(self, stop: threading.Event, on_step: OnStep) -> bool:
        """Run what is left of the current epoch; False if stopped before its end."""
        batches = self._batches_of(self._progress.epoch)
        self._learner.network.train(not self._stage.classifier_only)
        while self._progress.step < len(batches):
            if stop.is_set():
                return False
            started = time.perf_counter()
            self._step(batches[self._progress.step], share_of_epoch=self._progress.step / len(batches))
            self._progress.step += 1
            self._progress.duration_s += time.perf_counter() - started
            on_step(self._progress, len(batches))
        return True

    def _batches_of(self, epoch: int) -> list[IntArray]:
        stage = self._settings.stage_at(epoch)
        rng = np.random.default_rng([self._settings.seed, epoch])
        deal = partial(balanced_batches, num_batches=stage.num_iterations) if stage.num_iterations else pk_batches
        return deal(self._labels, self._camids, num_ids=stage.num_ids, num_crops=stage.num_crops, rng=rng)

    def _step(self, rows: IntArray, *, share_of_epoch: float) -> None:
        done = self._progress
        labels = torch.from_numpy(self._labels[rows]).to(self._learner.device)
        with torch.set_grad_enabled(not self._stage.classifier_only):
            feats = self._learner.features(self._load(rows))
        logits = self._classify(feats)
        loss = self._learner.learn(
            self._loss(feats, logits, labels),
            progress=(done.epoch + share_of_epoch) / self._settings.num_epochs,
            where=f"epoch {done.epoch + 1}, step {done.step + 1}",
        )
        done.loss_sum += loss * len(rows)
        done.num_right += int((logits.argmax(dim=1) == labels).sum())
        done.num_seen += len(rows)

    def _load(self, rows: IntArray) -> UInt8Array:
        settings, progress = self._settings, self._progress
        stage = self._stage
        crops = resize_batch(self._crops[rows], height_px=stage.height_px, width_px=stage.width_px)
        return augment(crops, settings.augment, np.random.default_rng([settings.seed, progress.epoch, progress.step]))

    def _classify(self, feats: Tensor) -> Tensor:
        classifier = self._learner.network.classifier
        assert classifier is not None
        with torch.autocast(feats.device.type, torch.bfloat16, enabled=self._settings.precision == "bf16"):
            logits: Tensor = classifier(feats)
        return logits.float()

    def _loss(self, feats: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        settings = self._settings
        loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        weight = self._stage.triplet_weight
        if weight:
            loss = loss + weight * batch_hard_triplet(feats, labels, margin=settings.triplet_margin)
        return loss

    def _finish_epoch(self) -> None:
        done, stage = self._progress, self._stage
        figures = {
            "epoch": done.epoch + 1,
            "loss": done.loss_sum / max(1, done.num_seen),
            "accuracy": done.num_right / max(1, done.num_seen),
            "images_per_s": done.num_seen / max(1e-9, done.duration_s),
            "duration_s": done.duration_s,
            "height_px": stage.height_px,
            "lr": learning_rate((done.epoch + 1) / self._settings.num_epochs, self._settings.optimiser),
        }
        self._history.append(figures | self._scores_after(done.epoch + 1))
        self._progress = Progress(epoch=done.epoch + 1)
        self._save()
        logger.info("epoch done", **{name: round(value, 5) for name, value in self._history[-1].items()})

    def _scores_after(self, num_epochs: int) -> dict[str, float]:
        """Scores of the weights as they would be kept, after epochs in which they are due."""
        is_due = num_epochs == self._settings.num_epochs or num_epochs % self._evaluate_every == 0
        return self._evaluate(self._learner.kept) if self._evaluate is not None and is_due else {}

    def _save(self) -> None:
        progress = {"progress": asdict(self._progress), "history": self._history}
        state = self._learner.state(where=f"epoch {self._progress.epoch + 1}, step {self._progress.step + 1}")
        self._folder.save_checkpoint(self._learner.network, {**state, **progress})
        self._folder.save_metrics(self._history)

    def _restore(self, checkpoint: Checkpoint) -> None:
        training = self._learner.restore(checkpoint)
        self._progress, self._history = Progress(**training["progress"]), list(training["history"])
        logger.info("going on", epoch=self._progress.epoch + 1, step=self._progress.step)
