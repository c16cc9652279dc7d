"""Prototypes: one unit vector a cluster, updated from the features of each batch.

Pure functions on tensors. Shape letters: N samples, B batch, K clusters, D embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

UpdateRule = Literal["average", "hard"]


@torch.no_grad()
def unit_means(feats_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Unit mean of the features of each label.

    Args:
        feats_ND: Unit-norm float32.
        labels_N: int64 in [0, K), each used.

    Returns:
        (K, D) float32, unit norm.
    """
    sums = feats_ND.new_zeros(int(labels_N.max()) + 1, feats_ND.shape[1]).index_add_(0, labels_N, feats_ND)
    return functional.normalize(sums, dim=1)


@torch.no_grad()
def update_prototypes(
    protos_KD: Tensor, feats_BD: Tensor, labels_B: Tensor, *, momentum: float, rule: UpdateRule
) -> Tensor:
    """Pull each prototype towards the batch features that carry its label.

    `average` takes the features one after the other: c <- m c + (1 - m) f, renormalised each time, so that their order
    matters. `hard` takes, of each cluster, only the feature least similar to the prototype as it was before the batch.

    Args:
        protos_KD: Unit-norm float32.
        feats_BD: Unit-norm float32 embeddings of one batch.
        labels_B: int64 pseudo labels in [0, K); outliers (-1) are already gone.
        momentum: Share m of the old prototype that stays, in [0, 1].
        rule: `average` or `hard`.

    Returns:
        (K, D) unit-norm float32; rows without a sample are unchanged.

    Raises:
        ValueError: A label lies outside [0, K).

    Paper: Dai et al., Cluster Contrast, arXiv 2103.11568, memory updating. Deviation: none.
    """
    if len(labels_B) and not (int(labels_B.min()) >= 0 and int(labels_B.max()) < len(protos_KD)):
        raise ValueError(
            f"labels from {int(labels_B.min())} to {int(labels_B.max())}, wanted 0 to {len(protos_KD) - 1}"
        )
    if rule == "hard":
        labels_B, feats_BD = _hardest(protos_KD, feats_BD, labels_B)
    updated = protos_KD.clone()
    # Turn r moves every cluster by its r-th feature at once: clusters are independent, so the order in each is kept.
    turns = _turns(labels_B)
    for turn in range(int(turns.max()) + 1 if len(turns) else 0):
        rows = turns == turn
        mixed = momentum * updated[labels_B[rows]] + (1.0 - momentum) * feats_BD[rows]
        updated[labels_B[rows]] = functional.normalize(mixed, dim=1)
    return updated


def _hardest(protos_KD: Tensor, feats_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of the clusters in the batch, and of each the feature least similar to its prototype."""
    similarity = (feats_BD * protos_KD[labels_B]).sum(dim=1)
    by_similarity = torch.argsort(similarity, stable=True)
    by_label = by_similarity[torch.argsort(labels_B[by_similarity], stable=True)]
    first = by_label[_turns(labels_B[by_label]) == 0]
    return labels_B[first], feats_BD[first]


def _turns(labels_B: Tensor) -> Tensor:
    """For each position, how many earlier positions carry the same label."""
    same = labels_B[:, None] == labels_B[None, :]
    return torch.tril(same, diagonal=-1).sum(dim=1)
