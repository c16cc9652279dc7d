"""Adaptation of a network to a site with the help of a labelled source: both are seen in every step.

Each step takes a batch of the source and one of the site, drawn at random, and asks the method for one loss of both.
The site's crops may be shown in the style of its other cameras (`train.styles`): then the camera of each is drawn
uniformly, its own among them. Several processes may share the work (`train.distributed`).

A run is a function of its settings and its crops: batches follow from (seed, epoch), changes to crops from (seed,
epoch, step). Checkpoints are written between epochs with what the method remembers; a run that was broken off repeats
the epoch it was in and goes on to the losses it would have had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from reid.errors import ConfigError
from reid.settings import Settings
from reid.types import FloatArray, IntArray, UInt8Array
from train.augment import AugmentSettings, augment
from train.checkpoint import load_network
from train.distributed import ALONE, Ranks
from train.embed import embed_crops
from train.epochs import Epochs, Figures, OnEpoch, OnStep
from train.errors import CheckpointError
from train.evaluator import Evaluate
from train.learner import Learner, Precision
from train.methods.ecn import Ecn, EcnConfig
from train.methods.mar import Mar, MarConfig
from train.methods.transfer_method import Domains, Embedded, TransferBatch, TransferMethod
from train.network import Network
from train.optimiser import OptimiserSettings
from train.run_folder import RunFolder
from train.sampler import shuffled_batches
from train.site import SiteCrops
from train.source import SourceCrops
from train.start import read_start
from train.styles.choice import make_style
from train.styles.style import StyleSettings

TransferConfig = Annotated[EcnConfig | MarConfig, Field(discriminator="method")]


class TransferSettings(Settings):
    """Everything that a transfer depends on, save the data."""

    init: str = ""
    """Folder of a release, or a checkpoint, to start from; needed."""
    architecture: str = ""
    """Of the checkpoint; releases and checkpoints of ours know it themselves."""
    seed: int = 1
    num_epochs: int = Field(default=20, gt=0)
    num_iterations: int = Field(default=50, gt=0)
    """Steps in an epoch."""
    num_source: int = Field(default=64, gt=1)
    """Crops of the source in a batch."""
    num_target: int = Field(default=64, gt=1)
    """Crops of the site in a batch."""
    method: TransferConfig = EcnConfig()
    style: StyleSettings = StyleSettings()
    heads_factor: float = Field(default=10.0, gt=0)
    """Learning rate of what is trained beside the network, as a multiple of the network's."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the running mean of the weights that stays at each step; the mean is what is kept. 0 switches it off."""
    precision: Precision = "bf16"
    optimiser: OptimiserSettings = OptimiserSettings(
        kind="adam", peak_lr=3.5e-4, weight_decay=5e-4, warmup_share=0.0, schedule="step", drop_at=0.65
    )
    augment: AugmentSettings = AugmentSettings(brightness=0, contrast=0, colour_cast=0)

    @property
    def takes_source(self) -> bool:
        """Whether a labelled source is needed: always."""
        return True

    @model_validator(mode="after")
    def _style_serves_the_method(self) -> TransferSettings:
        is_restyled = isinstance(self.method, EcnConfig) and self.method.camera
        if is_restyled != (self.style.kind != "none"):
            raise ValueError(
                f"style.kind is '{self.style.kind}': camera invariance needs colour, fourier or stargan, "
                "and without it crops stay as they are (none)"
            )
        return self


class Transfer:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        source: Whom the labels tell apart.
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
        StyleError: The style's folder is of other crops, or of none.
    """

    def __init__(
        self,
        settings: TransferSettings,
        source: SourceCrops,
        site: SiteCrops,
        folder: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 5,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        _check_batches(settings, ranks)
        self._settings = settings
        self._source = source
        self._site = site
        self._cameras: IntArray = np.unique(site.camids, return_inverse=True)[1].astype(np.int64)
        self._style = make_style(settings.style, site.crops, self._cameras)
        self._ranks = ranks
        torch.manual_seed(settings.seed)
        network = load_network(read_start(Path(settings.init)).checkpoint, settings.architecture)
        self._method = make_transfer_method(settings.method, self._domains(network))
        self._learner = Learner(
            network,
            settings.optimiser,
            heads=self._method.heads,
            heads_factor=settings.heads_factor,
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
        if self._epochs.restored:
            self._restore(self._epochs.restored)

    @property
    def num_steps(self) -> int:
        """Steps in an epoch."""
        return self._settings.num_iterations

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
        """Train to the end, or until the event is set; the folder keeps the last finished epoch to go on from.

        Returns:
            True if the run is complete; its weights are then in the folder's `final.pt`.

        Raises:
            TrainingError: The loss is not finite; the folder keeps its last good checkpoint.
        """
        return self._epochs.run(
            lambda: self._run_epoch(stop, on_step), on_epoch, state=lambda: {"method": self._method.state()}
        )

    def _domains(self, network: Network) -> Domains:
        return Domains(
            feature_dim=network.feature_dim,
            num_source_ids=self._source.num_ids,
            num_source=len(self._source.crops),
            num_target=len(self._site.crops),
            num_cameras=int(self._cameras.max()) + 1,
        )

    def _run_epoch(self, stop: threading.Event, on_step: OnStep) -> Figures | None:
        """Figures of the epoch, or None if stopped before its end."""
        settings, epoch = self._settings, self._epochs.done + 1
        started = time.perf_counter()
        # Dropout draws from torch's own generator, and a resumed epoch must draw what it would have drawn.
        torch.manual_seed(int(np.random.default_rng([settings.seed, epoch]).integers(2**62)))
        self._method.begin_epoch(epoch, self._embed_both() if self._method.wants_embedded(epoch) else None)
        embedded = time.perf_counter()
        figures = self._train(epoch, stop, on_step)
        if figures is None:
            return None
        self._learner.average_norms()
        ended = time.perf_counter()
        return {
            "epoch": epoch,
            **figures,
            "embed_s": embedded - started,
            "train_s": ended - embedded,
            "duration_s": ended - started,
        }

    def _train(self, epoch: int, stop: threading.Event, on_step: OnStep) -> Figures | None:
        """Means over the epoch's steps, or None if stopped."""
        settings = self._settings
        rng = np.random.default_rng([settings.seed, epoch, 0])
        source_rows, target_rows = (
            shuffled_batches(count, num_batches=settings.num_iterations, size=size, rng=rng)
            for count, size in (
                (len(self._source.crops), settings.num_source),
                (len(self._site.crops), settings.num_target),
            )
        )
        lines: list[dict[str, float]] = []
        self._learner.network.train()
        self._method.heads.train()
        for step, rows in enumerate(zip(source_rows, target_rows, strict=True), start=1):
            if self._ranks.any(stop.is_set()):
                return None
            lines.append(self._step(*rows, epoch=epoch, step=step))
            on_step(epoch, step, lines[-1]["loss"])
        return {name: float(np.mean([line[name] for line in lines])) for name in lines[0]}

    def _step(self, source_rows: IntArray, target_rows: IntArray, *, epoch: int, step: int) -> dict[str, float]:
        settings = self._settings
        progress = (epoch - 1 + (step - 1) / settings.num_iterations) / settings.num_epochs
        batch = self._batch(source_rows, target_rows, epoch=epoch, step=step)
        loss = self._method.loss(batch, progress=progress, epoch=epoch)
        value = self._learner.learn(loss, progress=progress, where=f"epoch {epoch}, step {step}")
        self._method.update(batch, epoch=epoch)
        return {"loss": value, **self._method.figures}

    def _batch(self, source_rows: IntArray, target_rows: IntArray, *, epoch: int, step: int) -> TransferBatch:
        seed, ranks = self._settings.seed, self._ranks
        cameras = self._draw_cameras(target_rows, np.random.default_rng([seed, epoch, step]))
        part = ranks.part(len(target_rows))
        rng = np.random.default_rng([seed, epoch, step, ranks.rank + 1])
        # One domain after the other: the norms of a batch then see one kind of pictures, as in the papers.
        source = self._features(self._source.crops[source_rows[ranks.part(len(source_rows))]], len(source_rows), rng)
        target = self._features(self._shown(target_rows[part], cameras[part]), len(target_rows), rng)
        own = self._cameras[target_rows]
        return TransferBatch(
            source_feats_SD=source,
            source_labels_S=self._on_device(self._source.labels[source_rows]),
            target_feats_TD=target,
            target_rows_T=self._on_device(target_rows),
            target_camids_T=self._on_device(own),
            target_restyled_T=self._on_device(cameras != own),
        )

    def _draw_cameras(self, rows: IntArray, rng: np.random.Generator) -> IntArray:
        """The camera that each crop is shown by."""
        if self._style is None:
            return self._cameras[rows]
        return rng.integers(int(self._cameras.max()) + 1, size=len(rows))

    def _shown(self, rows: IntArray, cameras: IntArray) -> UInt8Array:
        return self._site.crops[rows] if self._style is None else self._style.restyle(rows, cameras)

    def _features(self, crops: UInt8Array, num_rows: int, rng: np.random.Generator) -> Tensor:
        changed = augment(crops, self._settings.augment, rng)
        return self._ranks.join(self._learner.features(changed), num_rows)

    def _embed_both(self) -> Embedded:
        return Embedded(
            source_feats_ND=self._on_device(self._embed(self._source.crops)),
            source_labels_N=self._on_device(self._source.labels),
            target_feats_MD=self._on_device(self._embed(self._site.crops)),
            target_camids_M=self._on_device(self._cameras),
        )

    def _embed(self, crops: UInt8Array) -> FloatArray:
        ranks = self._ranks
        part = embed_crops(self._learner.kept, crops[ranks.part(len(crops))], precision=self._settings.precision)
        joined = ranks.join(torch.from_numpy(part).to(self._learner.device), len(crops))
        return np.asarray(joined.cpu().numpy(), dtype=np.float32)

    def _on_device(self, values: FloatArray | IntArray) -> Tensor:
        return torch.from_numpy(values).to(self._learner.device)

    def _restore(self, training: Mapping[str, object]) -> None:
        try:
            self._method.restore(training["method"])  # type: ignore[arg-type]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the run's checkpoint does not fit its method ({error!r}): give another output folder"
            ) from None


def make_transfer_method(config: TransferConfig, domains: Domains) -> TransferMethod:
    """The method that a config is of."""
    return Mar(config, domains) if isinstance(config, MarConfig) else Ecn(config, domains)


def _check_batches(settings: TransferSettings, ranks: Ranks) -> None:
    """A batch norm needs two crops."""
    size = min(settings.num_source, settings.num_target)
    if size < 2 * ranks.size:
        raise ConfigError(f"a batch of {size} is too small for {ranks.size} processes: start at most {size // 2}")
