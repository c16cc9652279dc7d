"""ISE: support samples made between clusters, contrasted like real ones, and kept true to their label.

Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, arXiv 2204.06892.
Builds on Cluster-Contrast's memory. The defaults follow the paper; two things that the authors' released code does
otherwise are options (`direction_scale`, `memory_from_supports`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from reid.settings import Settings
from train.losses.contrast import cluster_contrast
from train.losses.label_preserving import label_preserving
from train.memory import UpdateRule, unit_means, update_prototypes
from train.methods.method import Batch


class IseConfig(Settings):
    """Settings of ISE; the defaults are the paper's for Market-1501."""

    method: Literal["ise"] = "ise"
    temperature: float = Field(default=0.05, gt=0)
    """Divides similarities in the contrast against prototypes."""
    momentum: float = Field(default=0.2, ge=0, le=1)
    """Share of a prototype that stays at an update."""
    update_rule: UpdateRule = "hard"
    """See `train.memory.update_prototypes`."""
    extension: float = Field(default=1.0, ge=0)
    """lambda_0: how far, at the end of the run, a support lies along the way to the neighbouring cluster."""
    num_directions: int = Field(default=1, ge=1)
    """k: supports of one sample, one towards each of its nearest other clusters."""
    label_preserving_weight: float = Field(default=0.1, ge=0)
    """Weight of the label-preserving loss; 0.01 for MSMT17 in the paper."""
    label_preserving_temperature: float = Field(default=0.6, gt=0)
    """Divides similarities in the label-preserving loss."""
    direction_scale: float = Field(default=1.0, gt=0)
    """Further factor on the extension: 1 in the paper, 0.25 in the authors' released code."""
    contrasts_supports: bool = True
    """Contrast supports like samples (PLI); if not they serve the label-preserving loss alone, as in an ablation."""
    memory_from_supports: bool = False
    """Also move prototypes by the supports, as the authors' released code does."""


class Ise:
    """See `train.methods.method.Method`."""

    def __init__(self, config: IseConfig) -> None:
        self.config = config
        self.protos_KD = torch.empty(0, 0)
        self._extended: Batch | None = None

    def begin_epoch(self, feats_ND: Tensor, labels_N: Tensor, camids_N: Tensor) -> None:
        """Prototypes start as the unit means of the clusters."""
        self.protos_KD = unit_means(feats_ND, labels_N)

    def loss(self, batch: Batch, *, progress: float) -> Tensor:
        """Contrast over samples and supports plus the weighted label-preserving loss."""
        config = self.config
        strength = config.direction_scale * extension_strength(config.extension, progress)
        supports, support_labels = extend(
            batch.feats_BD, batch.labels_B, self.protos_KD, strength=strength, num_directions=config.num_directions
        )
        both, both_labels = torch.cat([batch.feats_BD, supports]), torch.cat([batch.labels_B, support_labels])
        self._extended = replace(batch, feats_BD=both, labels_B=both_labels)
        contrasted = self._extended if config.contrasts_supports else batch
        contrast = cluster_contrast(
            contrasted.feats_BD, self.protos_KD, contrasted.labels_B, temperature=config.temperature
        )
        preserving = label_preserving(
            batch.feats_BD,
            batch.labels_B,
            supports,
            support_labels,
            temperature=config.label_preserving_temperature,
        )
        return contrast + config.label_preserving_weight * preserving

    def update(self, batch: Batch) -> None:
        """Move the memory as Cluster-Contrast does."""
        source = self._extended if self.config.memory_from_supports and self._extended is not None else batch
        self.protos_KD = update_prototypes(
            self.protos_KD,
            source.feats_BD,
            source.labels_B,
            momentum=self.config.momentum,
            rule=self.config.update_rule,
        )
        self._extended = None


def extension_strength(extension: float, progress: float) -> float:
    """lambda_t = lambda_0 ln((e - 1) t / T + 1): 0 at the start of the run, lambda_0 at its end.

    Args:
        extension: lambda_0.
        progress: t / T, in [0, 1].
    """
    return extension * math.log((math.e - 1.0) * progress + 1.0)


def extend(
    feats_BD: Tensor, labels_B: Tensor, protos_KD: Tensor, *, strength: float, num_directions: int = 1
) -> tuple[Tensor, Tensor]:
    """Progressive linear interpolation: supports s = normalise(f + lambda_t (c_near - c_own)).

    c_near are the prototypes of other clusters most similar to the sample. The gradient reaches the features only.

    Args:
        feats_BD: Unit-norm float32.
        labels_B: int64 pseudo labels in [0, K).
        protos_KD: Unit-norm float32.
        strength: lambda_t.
        num_directions: k; at most K - 1 are used.

    Returns:
        Supports (B k, D), unit norm, and their labels (B k,), those of the samples. With a single cluster there is no
        direction, and the samples themselves are returned.
    """
    protos = protos_KD.detach()
    similarity = (feats_BD.detach() @ protos.T).scatter(1, labels_B[:, None], -torch.inf)
    count = min(num_directions, len(protos) - 1)
    if count == 0:
        return feats_BD, labels_B
    nearest_Bk = similarity.topk(count, dim=1).indices
    direction = protos[nearest_Bk] - protos[labels_B][:, None]
    supports = functional.normalize(feats_BD[:, None] + strength * direction, dim=2)
    return supports.flatten(0, 1), labels_B.repeat_interleave(count)
