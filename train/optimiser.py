"""The optimiser and its learning rate over a run."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from reid.settings import Settings


class OptimiserSettings(Settings):
    """Which optimiser, and its learning rate: a linear rise, then half a cosine down or one drop."""

    kind: Literal["adamw", "adam", "amsgrad"] = "adamw"
    """AdamW (decoupled weight decay), Adam with L2, or that with AMSGrad as the OSNet paper trains."""
    peak_lr: float = Field(default=2e-3, gt=0)
    """Learning rate at the end of the warm-up."""
    weight_decay: float = Field(default=0.02, ge=0)
    """On weights of convolutions and linear layers; never on norms and biases."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the rate rises from a tenth of the peak."""
    schedule: Literal["cosine", "step"] = "cosine"
    """`cosine`: down to `final_share` of the peak; `step`: a tenth of the peak after `drop_at`."""
    drop_at: float = Field(default=0.65, gt=0, le=1)
    """Share of the run after which a `step` schedule drops."""
    final_share: float = Field(default=0.005, ge=0, le=1)
    """Rate at the end, as a share of the peak."""


def make_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Make the optimiser over all parameters of a network."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.kind == "adamw":
        return torch.optim.AdamW(groups, lr=settings.peak_lr, fused=True)
    return torch.optim.Adam(groups, lr=settings.peak_lr, amsgrad=settings.kind == "amsgrad", fused=True)


def learning_rate(progress: float, settings: OptimiserSettings) -> float:
    """Learning rate at a share of the run that is done, in [0, 1]."""
    if progress < settings.warmup_share:
        return settings.peak_lr * (0.1 + 0.9 * progress / settings.warmup_share)
    if settings.schedule == "step":
        return settings.peak_lr * (1.0 if progress < settings.drop_at else 0.1)
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - settings.warmup_share) / (1 - settings.warmup_share)))
    return settings.peak_lr * (settings.final_share + (1 - settings.final_share) * cosine)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate for all parameters from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
