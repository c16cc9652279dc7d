"""Cluster-Contrast: one prototype a cluster, every sample of a cluster contrasted against all of them.

Dai et al., "Cluster Contrast for Unsupervised Person Re-Identification", arXiv 2103.11568.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from reid.settings import Settings
from train.losses.contrast import cluster_contrast
from train.memory import UpdateRule, unit_means, update_prototypes
from train.methods.method import Batch


class ClusterContrastConfig(Settings):
    """Settings of Cluster-Contrast; the defaults are the paper's for Market-1501."""

    method: Literal["cluster_contrast"] = "cluster_contrast"
    temperature: float = Field(default=0.05, gt=0)
    """Divides similarities in the loss."""
    momentum: float = Field(default=0.1, ge=0, le=1)
    """Share of a prototype that stays at an update."""
    update_rule: UpdateRule = "hard"
    """`hard`: the least similar feature of each cluster moves it; `average`: all do, one after the other."""


class ClusterContrast:
    """See `train.methods.method.Method`."""

    def __init__(self, config: ClusterContrastConfig) -> None:
        self.config = config
        self.protos_KD = torch.empty(0, 0)

    def begin_epoch(self, feats_ND: Tensor, labels_N: Tensor, camids_N: Tensor) -> None:
        """Prototypes start as the unit means of the clusters."""
        self.protos_KD = unit_means(feats_ND, labels_N)

    def loss(self, batch: Batch, *, progress: float) -> Tensor:
        """The ClusterNCE loss."""
        return cluster_contrast(batch.feats_BD, self.protos_KD, batch.labels_B, temperature=self.config.temperature)

    def update(self, batch: Batch) -> None:
        """Pull the prototypes of the batch's clusters towards its features."""
        self.protos_KD = update_prototypes(
            self.protos_KD,
            batch.feats_BD,
            batch.labels_B,
            momentum=self.config.momentum,
            rule=self.config.update_rule,
        )
