"""Trains a StarGAN on the crops of a site, whose cameras are the domains.

Every step is a function of (seed, step) and the weights, so a run that was broken off goes on to the losses it would
have had. The folder holds checkpoint.pt (both networks, both optimisers) and metrics.json.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid.files import write_atomic, write_json_atomic
from reid.types import IntArray, UInt8Array
from train.errors import CheckpointError, TrainingError
from train.losses.adversarial import critic_gap, gradient_penalty
from train.run_folder import CHECKPOINT_FILE, METRICS_FILE
from train.styles.stargan import Discriminator, Generator, StarganSettings
from train.styles.transferred import shrink

logger = structlog.get_logger(__name__)

OnStep = Callable[[int, float], None]
"""Called after each step of the generator, with its number from 1 and the generator's loss."""

_BETAS = (0.5, 0.999)
_TERMS = ("critic", "penalty", "camera_real", "adversarial", "camera_made", "reconstruction")


class StarganTrainer:
    """One run. Continues from the folder's checkpoint if there is one.

    Args:
        settings: The whole config.
        crops: uint8 (N, H, W, 3) BGR of the site.
        cameras: (N,) int64 in [0, V), each used.
        folder: Exists.
        device: `cpu`, `cuda`, …

    Raises:
        TrainingError: There is one camera only.
        CheckpointError: The folder's checkpoint is of another run, or damaged.
    """

    def __init__(
        self,
        settings: StarganSettings,
        crops: UInt8Array,
        cameras: IntArray,
        folder: Path,
        *,
        device: str = "cpu",
    ) -> None:
        self._settings = settings
        self._crops = crops
        self._cameras = cameras
        self._folder = folder
        self._device = torch.device(device)
        self._num_cameras = int(cameras.max()) + 1
        if self._num_cameras < 2:
            raise TrainingError("all crops are of one camera: there is no other whose style they could take")
        torch.manual_seed(settings.seed)
        self.generator = Generator(settings, self._num_cameras).to(self._device)
        self._discriminator = Discriminator(settings, self._num_cameras).to(self._device)
        self._optimisers = {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=settings.peak_lr, betas=_BETAS),
            "discriminator": torch.optim.Adam(self._discriminator.parameters(), lr=settings.peak_lr, betas=_BETAS),
        }
        self.steps_done = 0
        self.history: list[dict[str, float]] = []
        if (folder / CHECKPOINT_FILE).exists():
            self._restore(folder / CHECKPOINT_FILE)

    def run(self, stop: threading.Event, on_step: OnStep = lambda step, loss: None) -> bool:
        """Train to the end, or until the event is set; a step that was taken is in the folder's checkpoint either way.

        Returns:
            True if the run is complete.

        Raises:
            TrainingError: A loss is not finite; the folder keeps its last checkpoint.
        """
        lines: list[dict[str, float]] = []
        while self.steps_done < self._settings.num_steps:
            if stop.is_set():
                if lines:
                    self._keep(lines)
                return False
            lines.append(self._step(self.steps_done))
            self.steps_done += 1
            on_step(self.steps_done, lines[-1]["adversarial"])
            if self.steps_done % self._settings.save_every == 0 or self.steps_done == self._settings.num_steps:
                self._keep(lines)
                lines = []
        return True

    def _step(self, step: int) -> dict[str, float]:
        rng = np.random.default_rng([self._settings.seed, step])
        self._set_rate(step / self._settings.num_steps)
        for _ in range(self._settings.num_critic):
            figures = self._learn_to_judge(rng)
        figures |= self._learn_to_make(rng)
        if not all(math.isfinite(value) for value in figures.values()):
            raise TrainingError(f"a loss is not finite in step {step + 1}: start again with a lower peak_lr")
        return figures

    def restyle(self, crops: UInt8Array, cameras: IntArray) -> UInt8Array:
        """Small crops, uint8 (B, h, w, 3) BGR, as the cameras (B,) might have seen them."""
        with torch.inference_mode():
            made = self.generator(pictures_of(crops, self._device), torch.from_numpy(cameras).to(self._device))
        return crops_from(made)

    def _learn_to_judge(self, rng: np.random.Generator) -> dict[str, float]:
        settings = self._settings
        real, own, wanted = self._draw(rng)
        with torch.no_grad():
            made = self.generator(real, wanted)
        scores, logits = self._discriminator(real)
        gap = critic_gap(scores, self._discriminator(made)[0])
        shares = torch.from_numpy(rng.random(len(real), dtype=np.float32)).to(self._device)
        penalty = gradient_penalty(lambda pictures: self._discriminator(pictures)[0], real, made, shares)
        camera = functional.cross_entropy(logits, own)
        self._take("discriminator", gap + settings.penalty_weight * penalty + settings.camera_weight * camera)
        return {"critic": gap.item(), "penalty": penalty.item(), "camera_real": camera.item()}

    def _learn_to_make(self, rng: np.random.Generator) -> dict[str, float]:
        settings = self._settings
        real, own, wanted = self._draw(rng)
        made = self.generator(real, wanted)
        scores, logits = self._discriminator(made)
        adversarial, camera = -scores.mean(), functional.cross_entropy(logits, wanted)
        back = functional.l1_loss(self.generator(made, own), real)
        self._take("generator", adversarial + settings.camera_weight * camera + settings.reconstruction_weight * back)
        return {"adversarial": adversarial.item(), "camera_made": camera.item(), "reconstruction": back.item()}

    def _take(self, name: str, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, their cameras, and the cameras that are wanted."""
        size = self._settings.batch_size
        rows = np.sort(rng.choice(len(self._crops), size=size, replace=len(self._crops) < size))
        crops = shrink(self._crops[rows], self._settings.height_px, self._settings.width_px)
        flipped = rng.random(size) < 0.5
        crops[flipped] = crops[flipped, :, ::-1]
        wanted = rng.integers(self._num_cameras, size=size)
        own = torch.from_numpy(self._cameras[rows])
        return pictures_of(crops, self._device), own.to(self._device), torch.from_numpy(wanted).to(self._device)

    def _set_rate(self, progress: float) -> None:
        rate = self._settings.peak_lr * min(1.0, 2.0 * (1.0 - progress))
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def _keep(self, lines: list[dict[str, float]]) -> None:
        means = {term: float(np.mean([line[term] for line in lines])) for term in _TERMS}
        self.history.append({"step": self.steps_done, **means})
        content = {
            "step": self.steps_done,
            "history": self.history,
            **{name: network.state_dict() for name, network in self._networks().items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self._optimisers.items()},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomic(self._folder / CHECKPOINT_FILE, buffer.getvalue())
        write_json_atomic(self._folder / METRICS_FILE, {"steps": self.history})
        logger.info("style step", step=self.steps_done, **{term: round(value, 3) for term, value in means.items()})

    def _restore(self, path: Path) -> None:
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            for name, network in self._networks().items():
                network.load_state_dict(content[name])
            for name, optimiser in self._optimisers.items():
                optimiser.load_state_dict(content["optimisers"][name])
            self.steps_done, self.history = int(content["step"]), list(content["history"])
        except Exception as error:  # torch raises many unrelated types
            raise CheckpointError(
                f"{path} does not belong to this run ({error!r}): give another output folder"
            ) from None

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self._discriminator}


def pictures_of(crops: UInt8Array, device: torch.device) -> Tensor:
    """uint8 (B, h, w, 3) BGR -> float32 (B, 3, h, w) RGB in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device).flip(-1).float()
    return (pixels / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()


def crops_from(pictures_B3HW: Tensor) -> UInt8Array:
    """The way back; what lies outside [-1, 1] is cut off."""
    pixels = ((pictures_B3HW.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).flip(-1).cpu().numpy())
