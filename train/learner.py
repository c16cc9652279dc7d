"""A network that learns: one gradient step at a time, with its optimiser and the running mean of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reid.types import UInt8Array
from train.checkpoint import Checkpoint
from train.distributed import ALONE, Ranks
from train.errors import CheckpointError, TrainingError
from train.images import images_of
from train.network import Network
from train.optimiser import OptimiserSettings, learning_rate, make_optimiser, set_learning_rate
from train.weight_mean import WeightMean

Precision = Literal["bf16", "fp32"]


class Learner:
    """What every way of training does alike.

    Args:
        network: Trained in place.
        optimiser: Which, and its learning rate over the run.
        heads: What is trained beside the network and not kept at the end, such as classifiers; in place. Every rank
            takes the same step of them, since all of them see the whole batch.
        heads_factor: Learning rate of the heads, as a multiple of the network's.
        ema_decay: Share of the running mean of the weights that stays at each step; 0 keeps no mean.
        precision: `bf16`: forward and backward under autocast; weights and optimiser stay in float32.
        device: `cpu`, `cuda`, …
        ranks: The processes that train this network together.
    """

    def __init__(
        self,
        network: Network,
        optimiser: OptimiserSettings,
        *,
        heads: nn.Module | None = None,
        heads_factor: float = 1.0,
        ema_decay: float = 0.0,
        precision: Precision = "bf16",
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        self.device = torch.device(device)
        # nn.Module.to has no overload for a memory format alone.
        self.network: Network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._settings = optimiser
        self._heads = None if heads is None else heads.to(self.device)
        self._optimiser = make_optimiser(self.network, optimiser, heads=self._heads, heads_factor=heads_factor)
        self._precision = precision
        self._ranks = ranks
        self._mean = WeightMean(self.network, ema_decay) if ema_decay else None

    @property
    def kept(self) -> Network:
        """The weights that a run is judged by: their running mean if there is one."""
        return self.network if self._mean is None else self._mean.network

    def features(self, crops: UInt8Array) -> Tensor:
        """Features of a batch, with gradient when the network is in training.

        Args:
            crops: uint8 (B, H, W, 3) BGR.

        Returns:
            (B, D) float32, not normalised.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            feats: Tensor = self.network(images_of(crops, self.device))
        return feats.float()

    def learn(self, loss: Tensor, *, progress: float, where: str) -> float:
        """Take one step down the gradient of a loss.

        Args:
            loss: A scalar, the same on all ranks.
            progress: Share of the run that is done, in [0, 1): sets the learning rate.
            where: Epoch and step, for the error.

        Returns:
            The loss.

        Raises:
            TrainingError: The loss is not finite; nothing was changed.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _diverged(f"loss is {value}", where)
        set_learning_rate(self._optimiser, learning_rate(progress, self._settings))
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._ranks.sum_gradients(self.network)
        self._optimiser.step()
        if self._mean is not None:
            self._mean.update(self.network)
        return value

    def average_norms(self) -> None:
        """Make the running figures of batch norms the same on all ranks, before anything is embedded with them."""
        self._ranks.average_norms(self.network)
        if self._mean is not None:
            self._ranks.average_norms(self._mean.network)

    def state(self, *, where: str) -> dict[str, Any]:
        """What a checkpoint must hold beside the network's weights.

        Args:
            where: How far the run is, for the error.

        Raises:
            TrainingError: A weight is not finite: the last step may have had a finite loss and an infinite gradient.
        """
        trained = [self.network] if self._heads is None else [self.network, self._heads]
        if not all(bool(weight.isfinite().all()) for part in trained for weight in part.parameters()):
            raise _diverged("weights are not finite", where)
        return {
            "optimiser": self._optimiser.state_dict(),
            "mean": None if self._mean is None else self._mean.state(),
            **({} if self._heads is None else {"heads": self._heads.state_dict()}),
        }

    def restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """Go on from a checkpoint whose `training` holds what `state` gave.

        Returns:
            Its `training`, for what the trainer keeps there itself.

        Raises:
            CheckpointError: It is of another network or another kind of run.
        """
        training = checkpoint.training
        try:
            self.network.load_state_dict(checkpoint.state)
            if self._heads is not None:
                self._heads.load_state_dict(training["heads"])
            self._optimiser.load_state_dict(training["optimiser"])
            if self._mean is not None:
                self._mean.restore(training["mean"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint.path} does not belong to this run ({error}): give another output folder"
            ) from None
        return training


def _diverged(what: str, where: str) -> TrainingError:
    return TrainingError(f"{what} in {where}; the last good checkpoint is kept: start from it with a lower peak_lr")
