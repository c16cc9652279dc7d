"""The optimiser and its learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from reid.settings import Settings


class OptimiserSettings(Settings):
    """Which optimiser, and its learning rate: a linear rise, then half a cosine down or drops."""

    kind: Literal["adamw", "adam", "amsgrad", "sgd"] = "adamw"
    """AdamW (decoupled weight decay), Adam with L2, that with AMSGrad as the OSNet paper trains, or Nesterov's SGD."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    peak_lr: float = Field(default=2e-3, gt=0)
    """Learning rate at the end of the warm-up."""
    weight_decay: float = Field(default=0.02, ge=0)
    """On weights of convolutions and linear layers; never on norms and biases."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the rate rises from a tenth of the peak."""
    schedule: Literal["cosine", "step"] = "cosine"
    """`cosine`: down to `final_share` of the peak; `step`: down to `drop_factor` of it after `drop_at`."""
    drop_at: float = Field(default=0.65, gt=0, le=1)
    """Share of the run after which a `step` schedule drops."""
    later_drops: tuple[float, ...] = ()
    """Shares of the run after which it drops again."""
    drop_factor: float = Field(default=0.1, gt=0, lt=1)
    """What a drop leaves of the rate."""
    final_share: float = Field(default=0.005, ge=0, le=1)
    """Rate at the end, as a share of the peak."""


def make_optimiser(
    network: nn.Module, settings: OptimiserSettings, *, heads: nn.Module | None = None, heads_factor: float = 1.0
) -> torch.optim.Optimizer:
    """Make the optimiser over all parameters of a network, and of what is trained beside it.

    Args:
        network: Learns at the rate of the settings.
        settings: Which optimiser.
        heads: Learn at `heads_factor` times that rate.
        heads_factor: See `heads`.
    """
    groups = _groups(network.parameters(), settings.weight_decay)
    if heads is not None:
        groups += _groups(heads.parameters(), settings.weight_decay, lr_factor=heads_factor)
    if settings.kind == "adamw":
        return torch.optim.AdamW(groups, lr=settings.peak_lr, fused=True)
    if settings.kind == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(groups, lr=settings.peak_lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    return torch.optim.Adam(groups, lr=settings.peak_lr, amsgrad=settings.kind == "amsgrad", fused=True)


def learning_rate(progress: float, settings: OptimiserSettings) -> float:
    """Learning rate at a share of the run that is done, in [0, 1]."""
    if progress < settings.warmup_share:
        return settings.peak_lr * (0.1 + 0.9 * progress / settings.warmup_share)
    if settings.schedule == "step":
        num_drops = sum(progress >= share for share in (settings.drop_at, *settings.later_drops))
        return settings.peak_lr * settings.drop_factor**num_drops
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - settings.warmup_share) / (1 - settings.warmup_share)))
    return settings.peak_lr * (settings.final_share + (1 - settings.final_share) * cosine)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate, times the factor of their group, for all parameters from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)


def _groups(parameters: Iterable[nn.Parameter], weight_decay: float, **options: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and norms and biases, which have none."""
    parameters = list(parameters)
    decayed, free = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay, **options},
        {"params": free, "weight_decay": 0.0, **options},
    ]
