"""Adaptation of a network to a site without labels: cluster, contrast against the clusters, repeat.

Each epoch embeds all crops, clusters them into pseudo labels, lets the method build its memory, and takes a number of
steps on P x K batches of pseudo labels. Optimiser and schedule go on across epochs. Several processes may share the
work (`train.distributed`).

A labelled source may help (`num_source_ids`): its identities are clusters that nothing has to find, with labels after
those of an epoch, in the same memory and the same loss (as in Ge et al., SpCL, NeurIPS 2020, arXiv 2006.02713).

A run may be held to the weights that it starts from (`train.losses.compatibility`): their embeddings of the crops are
then kept, as what a server's old records are made of.

A run is a function of its settings and its crops: batches follow from (seed, epoch), changes to crops from (seed,
epoch, step), clusters from the weights. Checkpoints are written between epochs; a run that was broken off repeats the
epoch it was in and goes on to the losses it would have had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from reid.errors import ConfigError
from reid.settings import Settings
from reid.types import FloatArray, IntArray, UInt8Array
from train.augment import AugmentSettings, augment
from train.checkpoint import load_network
from train.distributed import ALONE, Ranks
from train.embed import embed_crops
from train.epochs import Epochs, Figures, OnEpoch, OnStep
from train.evaluator import Evaluate
from train.learner import Learner, Precision
from train.losses.compatibility import Compatibility, CompatibilityConfig
from train.methods.camera_aware import CameraAware, CameraAwareConfig
from train.methods.cluster_contrast import ClusterContrast, ClusterContrastConfig
from train.methods.ise import Ise, IseConfig
from train.methods.method import Batch, Method
from train.network import Network
from train.optimiser import OptimiserSettings
from train.pseudo_labels import ClusterSettings, PseudoLabels, make_pseudo_labels
from train.run_folder import RunFolder
from train.sampler import balanced_batches
from train.site import SiteCrops
from train.source import SourceCrops
from train.start import read_start

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
    num_source_ids: int = Field(default=0, ge=0)
    """Identities of a labelled source in a batch, beside the clusters; 0 for a run without a source."""
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

    @property
    def takes_source(self) -> bool:
        """Whether a labelled source is needed."""
        return self.num_source_ids > 0

    def num_steps(self, num_crops: int) -> int:
        """Steps in an epoch over so many crops."""
        if self.num_passes == 0:
            return self.num_iterations
        wanted = round(self.num_passes * num_crops / (self.num_ids * self.num_crops))
        return max(1, min(self.num_iterations, wanted))


@dataclass(frozen=True)
class Part:
    """Crops that an epoch's batches are drawn from.

    Attributes:
        crops: uint8 (N, 256, 128, 3) BGR.
        labels: (N,) int64 clusters; -1 for outliers, which no batch has.
        camids: (N,) int64.
        batches: Rows of each step.
    """

    crops: UInt8Array
    labels: IntArray
    camids: IntArray
    batches: Sequence[IntArray]


class Adapter:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        site: What to adapt on.
        folder: Where checkpoints and metrics go.
        source: Whom labels tell apart; needed if the settings take a source, and only then.
        evaluate: Scores of a network, asked after every `evaluate_every` epochs and the last; or None.
        evaluate_every: Epochs.
        device: `cpu`, `cuda`, …
        ranks: The processes that share this run; only the first scores, reports and writes.

    Raises:
        ConfigError: A batch is too small to be shared by so many processes, or the source is missing or one too many.
        ReleaseError: `settings.init` is a folder without a release, or one without trainable weights.
        CheckpointError: `settings.init` or the folder's checkpoint cannot be loaded.
    """

    def __init__(
        self,
        settings: AdaptSettings,
        site: SiteCrops,
        folder: RunFolder,
        *,
        source: SourceCrops | None = None,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        _check_batch(settings, ranks)
        if settings.takes_source != (source is not None):
            raise ConfigError(f"num_source_ids is {settings.num_source_ids}: with a source give more than 0, else 0")
        self._source = source
        self._ranks = ranks
        self._settings = settings
        self._site = site
        self._method = make_method(settings)
        self._compatibility: Compatibility | None = None
        self.num_steps = settings.num_steps(len(site.crops))
        torch.manual_seed(settings.seed)
        self._learner = Learner(
            load_network(read_start(Path(settings.init)).checkpoint, settings.architecture),
            settings.optimiser,
            ema_decay=settings.ema_decay,
            precision=settings.precision,
            device=device,
            ranks=ranks,
        )
        self._epochs = Epochs(
            settings.num_epochs,
            self._learner,
            folder,
            evaluate=evaluate,
            evaluate_every=evaluate_every,
            ranks=ranks,
        )

    @property
    def history(self) -> list[Figures]:
        """One line of figures per finished epoch."""
        return list(self._epochs.history)

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
        return self._epochs.run(lambda: self._run_epoch(stop, on_step), on_epoch)

    def embed(self) -> FloatArray:
        """Embeddings of the site's crops by the weights as they stand: (N, D) float32, unit norm."""
        return self._embed_with(self._learner.kept, self._site.crops)

    def embed_as_at_start(self) -> FloatArray:
        """Embeddings of the site's crops by the weights that the run started from."""
        settings = self._settings
        start = load_network(read_start(Path(settings.init)).checkpoint, settings.architecture)
        return self._embed_with(start.to(self._learner.device), self._site.crops)

    def _embed_with(self, network: Network, crops: UInt8Array) -> FloatArray:
        ranks = self._ranks
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

    def _run_epoch(self, stop: threading.Event, on_step: OnStep) -> Figures | None:
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
            "epoch": self._epochs.done + 1,
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
        parts = [(feats[inliers], labels[inliers], self._site.camids[inliers])]
        if self._source is not None:
            known = self._embed_with(self._learner.kept, self._source.crops)
            parts.append((known, *self._after_site(self._source, labels)))
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        self._method.begin_epoch(*(torch.from_numpy(values).to(self._learner.device) for values in columns))

    def _after_site(self, source: SourceCrops, labels: IntArray) -> tuple[IntArray, IntArray]:
        """Labels and cameras of the source, numbered after the site's."""
        return source.labels + labels.max() + 1, source.camids + self._site.camids.max() + 1

    def _begin_compatibility(self, feats: FloatArray, labels: IntArray) -> None:
        device = self._learner.device
        if self._compatibility is None:
            # Before the first step, what was just embedded is what the parent says.
            old = torch.from_numpy(feats if self._epochs.done == 0 else self.embed_as_at_start())
            self._compatibility = Compatibility(self._settings.compatible, old.to(device))
        self._compatibility.begin_epoch(*(torch.from_numpy(v).to(device) for v in (labels, self._site.camids)))

    def _train(self, labels: IntArray, stop: threading.Event, on_step: OnStep) -> list[float] | None:
        """Losses of the epoch's steps, or None if stopped."""
        parts, epoch = self._parts(labels), self._epochs.done
        losses: list[float] = []
        self._learner.network.train()
        for step in range(self.num_steps):
            if self._ranks.any(stop.is_set()):
                return None
            losses.append(self._step(parts, step))
            on_step(epoch + 1, step + 1, losses[-1])
        return losses

    def _parts(self, labels: IntArray) -> list[Part]:
        """The source, if there is one, before the site: the norms are to see the site last."""
        settings, site, source, epoch = self._settings, self._site, self._source, self._epochs.done
        rng = np.random.default_rng([settings.seed, epoch])
        parts = [self._part(site.crops, labels, site.camids, settings.num_ids, rng)]
        if source is not None:
            parts.insert(0, self._part(source.crops, *self._after_site(source, labels), settings.num_source_ids, rng))
        return parts

    def _part(
        self, crops: UInt8Array, labels: IntArray, camids: IntArray, num_ids: int, rng: np.random.Generator
    ) -> Part:
        batches = balanced_batches(
            labels,
            camids,
            num_batches=self.num_steps,
            num_ids=min(num_ids, len(np.unique(labels[labels >= 0]))),
            num_crops=self._settings.num_crops,
            rng=rng,
        )
        return Part(crops, labels, camids, batches)

    def _step(self, parts: Sequence[Part], step: int) -> float:
        settings = self._settings
        progress = (self._epochs.done + step / self.num_steps) / settings.num_epochs
        # Steps from 1 on: a seed that ends in 0 is the same as one without, which the plan of the epoch has.
        rng = np.random.default_rng([settings.seed, self._epochs.done, step + 1, self._ranks.rank])
        batches = [self._batch(part, step, rng) for part in parts]
        batch = Batch(*(torch.cat(columns) for columns in zip(*batches, strict=True)))
        loss = self._method.loss(batch, progress=progress)
        if self._compatibility is not None:
            loss = loss + self._compatibility.loss(*batches[-1])
        value = self._learner.learn(loss, progress=progress, where=f"epoch {self._epochs.done + 1}, step {step + 1}")
        self._method.update(batch)
        return value

    def _batch(self, part: Part, step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Unit-norm features of one step's crops, their labels and cameras."""
        rows, ranks, device = part.batches[step], self._ranks, self._learner.device
        crops = augment(part.crops[rows[ranks.part(len(rows))]], self._settings.augment, rng)
        feats_BD = ranks.join(functional.normalize(self._learner.features(crops), dim=1), len(rows))
        labels_B, camids_B = (torch.from_numpy(values[rows]).to(device) for values in (part.labels, part.camids))
        return feats_BD, labels_B, camids_B


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
