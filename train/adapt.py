"""Adaptation of an OSNet to a site without labels: cluster, contrast against the clusters, repeat.

Each epoch embeds all crops, clusters them into pseudo labels, lets the method build its memory, and takes a number of
steps on P x K batches of pseudo labels. Optimiser and schedule go on across epochs. Several processes may share the
work (`train.distributed`).

A run may be held to the weights that it starts from (`train.losses.compatibility`): their embeddings of the crops are
then kept, as what a server's old records are made of.

A run is a function of its settings and its crops: batches follow from (seed, epoch), changes to crops from (seed,
epoch, step), clusters from the weights. Checkpoints are written between epochs; a run that was broken off repeats the
epoch it was in and goes on to the losses it would have had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import structlog
import torch
from pydantic import Field
from torch.nn import functional

from reid.errors import ConfigError
from reid.settings import Settings
from reid.types import FloatArray, IntArray
from train.augment import AugmentSettings, augment
from train.checkpoint import Checkpoint, load_osnet
from train.distributed import ALONE, Ranks
from train.embed import embed_crops
from train.evaluator import Evaluate
from train.learner import Learner, Precision
from train.losses.compatibility import Compatibility, CompatibilityConfig
from train.methods.camera_aware import CameraAware, CameraAwareConfig
from train.methods.cluster_contrast import ClusterContrast, ClusterContrastConfig
from train.methods.ise import Ise, IseConfig
from train.methods.method import Batch, Method
from train.optimiser import OptimiserSettings
from train.osnet import OSNet
from train.pseudo_labels import ClusterSettings, PseudoLabels, make_pseudo_labels
from train.run_folder import RunFolder
from train.sampler import balanced_batches
from train.site import SiteCrops
from train.start import read_start

logger = structlog.get_logger(__name__)

MethodConfig = Annotated[ClusterContrastConfig | IseConfig, Field(discriminator="method")]


class AdaptSettings(Settings):
    """Everything that an adaptation run depends on, save the data."""

    init: str = ""
    """Folder of a release, or a checkpoint, to start from; needed."""
    architecture: str = ""
    """Of the checkpoint; releases and checkpoints of ours know it themselves."""
    seed: int = 1
    num_epochs: int = Field(default=20, gt=0)
    num_iterations: int = Field(default=50, gt=0)
    """Steps in an epoch; the most of them where `num_passes` is given."""
    num_passes: float = Field(default=0.0, ge=0)
    """Times that an epoch shows each crop, so that few crops make short epochs; 0: `num_iterations` steps."""
    num_ids: int = Field(default=16, gt=1)
    """Clusters in a batch; the most of them where `least_clusters` allows fewer."""
    least_clusters: int = Field(default=0, ge=0)
    """Clustering is relaxed until there are so many; 0: as many as a batch has."""
    num_crops: int = Field(default=4, gt=0)
    """Crops of each cluster in a batch."""
    method: MethodConfig = IseConfig()
    camera_aware: CameraAwareConfig = CameraAwareConfig(weight=0.0)
    compatible: CompatibilityConfig = CompatibilityConfig()
    """How far new embeddings are held to those of the weights that the run starts from."""
    clusters: ClusterSettings = ClusterSettings()
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the running mean of the weights that stays at each step; the mean is what is kept. 0 switches it off."""
    precision: Precision = "bf16"
    optimiser: OptimiserSettings = OptimiserSettings(
        kind="adam", peak_lr=3.5e-4, weight_decay=5e-4, warmup_share=0.0, schedule="step", drop_at=0.65
    )
    augment: AugmentSettings = AugmentSettings(brightness=0, contrast=0, colour_cast=0)

    def num_steps(self, num_crops: int) -> int:
        """Steps in an epoch over so many crops."""
        if self.num_passes == 0:
            return self.num_iterations
        wanted = round(self.num_passes * num_crops / (self.num_ids * self.num_crops))
        return max(1, min(self.num_iterations, wanted))


OnStep = Callable[[int, int, float], None]
"""Called after each step with the epoch from 1, the step from 1, and the loss."""
OnEpoch = Callable[[Sequence[Mapping[str, Any]]], None]
"""Called after each epoch, once its checkpoint is written, with the figures of all epochs so far."""


class Adapter:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        site: What to adapt on.
        folder: Where checkpoints and metrics go.
        evaluate: Scores of a network, asked after every `evaluate_every` epochs and the last; or None.
        evaluate_every: Epochs.
        device: `cpu`, `cuda`, …
        ranks: The processes that share this run; only the first scores, reports and writes.

    Raises:
        ConfigError: A batch is too small to be shared by so many processes.
        ReleaseError: `settings.init` is a folder without a release, or one without trainable weights.
        CheckpointError: `settings.init` or the folder's checkpoint cannot be loaded.
    """

    def __init__(
        self,
        settings: AdaptSettings,
        site: SiteCrops,
        folder: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        _check_batch(settings, ranks)
        self._ranks = ranks
        self._settings = settings
        self._site = site
        self._folder = folder
        self._evaluate = evaluate
        self._evaluate_every = evaluate_every
        self._method = make_method(settings)
        self._compatibility: Compatibility | None = None
        self.num_steps = settings.num_steps(len(site.crops))
        self._epochs_done = 0
        self._history: list[dict[str, Any]] = []
        torch.manual_seed(settings.seed)
        self._learner = Learner(
            load_osnet(read_start(Path(settings.init)).checkpoint, settings.architecture),
            settings.optimiser,
            ema_decay=settings.ema_decay,
            precision=settings.precision,
            device=device,
            ranks=ranks,
        )
        checkpoint = folder.load_checkpoint()
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One line of figures per finished epoch."""
        return list(self._history)

    def run(
        self,
        stop: threading.Event,
        on_step: OnStep = lambda epoch, step, loss: None,
        on_epoch: OnEpoch = lambda history: None,
    ) -> bool:
        """Adapt to the end, or until the event is set; the folder keeps the last finished epoch to go on from.

        Returns:
            True if the run is complete; its weights are then in the folder's `final.pt`.

        Raises:
            TrainingError: Nothing clusters, or the loss is not finite; the folder keeps its last good checkpoint.
        """
        while self._epochs_done < self._settings.num_epochs:
            figures = self._run_epoch(stop, on_step)
            if figures is None:
                return False
            self._finish_epoch(figures)
            if self._ranks.is_first:
                on_epoch(self.history)
        if self._ranks.is_first:
            self._folder.save_final(self._learner.kept)
        return True

    def embed(self) -> FloatArray:
        """Embeddings of the site's crops by the weights as they stand: (N, 512) float32, unit norm."""
        return self._embed_with(self._learner.kept)

    def embed_as_at_start(self) -> FloatArray:
        """Embeddings of the site's crops by the weights that the run started from."""
        settings = self._settings
        start = load_osnet(read_start(Path(settings.init)).checkpoint, settings.architecture)
        return self._embed_with(start.to(self._learner.device))

    def _embed_with(self, network: OSNet) -> FloatArray:
        crops, ranks = self._site.crops, self._ranks
        part = embed_crops(network, crops[ranks.part(len(crops))], precision=self._settings.precision)
        joined = ranks.join(torch.from_numpy(part).to(self._learner.device), len(crops))
        return np.asarray(joined.cpu().numpy(), dtype=np.float32)

    def cluster(self, feats: FloatArray) -> PseudoLabels:
        """Pseudo labels of the site's crops from their embeddings, as the next epoch would use them.

        Raises:
            TrainingError: Next to nothing clusters.
        """
        settings = self._settings
        least = settings.least_clusters or settings.num_ids
        return make_pseudo_labels(feats, self._site, settings.clusters, least_clusters=least)

    def _run_epoch(self, stop: threading.Event, on_step: OnStep) -> dict[str, Any] | None:
        """Figures of the epoch, or None if stopped before its end."""
        started = time.perf_counter()
        feats = self.embed()
        embedded = time.perf_counter()
        labels = self._ranks.from_first(lambda: self.cluster(feats))
        self._begin(feats, labels.labels_N)
        clustered = time.perf_counter()
        losses = self._train(labels.labels_N, stop, on_step)
        if losses is None:
            return None
        self._learner.average_norms()
        trained = time.perf_counter()
        return {
            "epoch": self._epochs_done + 1,
            "loss": float(np.mean(losses)),
            "num_clusters": labels.num_clusters,
            "noise_share": labels.noise_share,
            "cross_camera_share": labels.cross_camera_share,
            "eps": labels.eps,
            **({} if self._site.pids is None else _pair_figures(labels)),
            "embed_s": embedded - started,
            "cluster_s": clustered - embedded,
            "train_s": trained - clustered,
            "duration_s": trained - started,
        }

    def _begin(self, feats: FloatArray, labels: IntArray) -> None:
        if self._settings.compatible.is_on:
            self._begin_compatibility(feats, labels)
        inliers = labels >= 0
        tensors = (
            torch.from_numpy(values[inliers]).to(self._learner.device) for values in (feats, labels, self._site.camids)
        )
        self._method.begin_epoch(*tensors)

    def _begin_compatibility(self, feats: FloatArray, labels: IntArray) -> None:
        device = self._learner.device
        if self._compatibility is None:
            # Before the first step, what was just embedded is what the parent says.
            old = torch.from_numpy(feats if self._epochs_done == 0 else self.embed_as_at_start())
            self._compatibility = Compatibility(self._settings.compatible, old.to(device))
        self._compatibility.begin_epoch(*(torch.from_numpy(v).to(device) for v in (labels, self._site.camids)))

    def _train(self, labels: IntArray, stop: threading.Event, on_step: OnStep) -> list[float] | None:
        """Losses of the epoch's steps, or None if stopped."""
        settings, epoch = self._settings, self._epochs_done
        batches = balanced_batches(
            labels,
            self._site.camids,
            num_batches=self.num_steps,
            num_ids=min(settings.num_ids, int(labels.max()) + 1),
            num_crops=settings.num_crops,
            rng=np.random.default_rng([settings.seed, epoch]),
        )
        losses: list[float] = []
        self._learner.network.train()
        for step, rows in enumerate(batches):
            if self._ranks.any(stop.is_set()):
                return None
            losses.append(self._step(rows, labels[rows], step))
            on_step(epoch + 1, step + 1, losses[-1])
        return losses

    def _step(self, rows: IntArray, labels: IntArray, step: int) -> float:
        settings, device, ranks = self._settings, self._learner.device, self._ranks
        progress = (self._epochs_done + step / self.num_steps) / settings.num_epochs
        # Steps from 1 on: a seed that ends in 0 is the same as one without, which the plan of the epoch has.
        rng = np.random.default_rng([settings.seed, self._epochs_done, step + 1, ranks.rank])
        crops = augment(self._site.crops[rows[ranks.part(len(rows))]], settings.augment, rng)
        batch = Batch(
            feats_BD=ranks.join(functional.normalize(self._learner.features(crops), dim=1), len(rows)),
            labels_B=torch.from_numpy(labels).to(device),
            camids_B=torch.from_numpy(self._site.camids[rows]).to(device),
        )
        loss = self._method.loss(batch, progress=progress)
        if self._compatibility is not None:
            loss = loss + self._compatibility.loss(batch.feats_BD, batch.labels_B, batch.camids_B)
        value = self._learner.learn(loss, progress=progress, where=f"epoch {self._epochs_done + 1}, step {step + 1}")
        self._method.update(batch)
        return value

    def _finish_epoch(self, figures: dict[str, Any]) -> None:
        self._epochs_done += 1
        is_last = self._epochs_done == self._settings.num_epochs
        is_due = is_last or self._epochs_done % self._evaluate_every == 0
        if self._evaluate is not None and self._ranks.is_first and is_due:
            figures |= self._evaluate(self._learner.kept)
        self._history.append(figures)
        self._save()
        logger.info("epoch done", **{k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()})

    def _save(self) -> None:
        if not self._ranks.is_first:
            return
        progress = {"epochs_done": self._epochs_done, "history": self._history}
        state = self._learner.state(where=f"epoch {self._epochs_done}")
        self._folder.save_checkpoint(self._learner.network, {**state, **progress})
        self._folder.save_metrics(self._history)

    def _restore(self, checkpoint: Checkpoint) -> None:
        training = self._learner.restore(checkpoint)
        self._epochs_done, self._history = int(training["epochs_done"]), list(training["history"])
        logger.info("going on", epoch=self._epochs_done + 1)


def make_method(settings: AdaptSettings) -> Method:
    """The method that the settings name, with camera-aware proxies around it if they have a weight."""
    config = settings.method
    method: Method = Ise(config) if isinstance(config, IseConfig) else ClusterContrast(config)
    return CameraAware(settings.camera_aware, method) if settings.camera_aware.weight else method


def _check_batch(settings: AdaptSettings, ranks: Ranks) -> None:
    """A batch norm needs two crops."""
    size = settings.num_ids * settings.num_crops
    if size < 2 * ranks.size:
        raise ConfigError(f"a batch of {size} is too small for {ranks.size} processes: start at most {size // 2}")


def _pair_figures(labels: PseudoLabels) -> dict[str, float]:
    return {"pair_precision": labels.pair_precision, "pair_recall": labels.pair_recall}
