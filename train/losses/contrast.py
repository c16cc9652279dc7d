"""Contrast of features against prototypes (InfoNCE over clusters)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cluster_contrast(feats_BD: Tensor, protos_KD: Tensor, labels_B: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of each feature's similarities to all prototypes, its own cluster being right.

    Args:
        feats_BD: Unit-norm float32; the gradient reaches these only.
        protos_KD: Unit-norm float32.
        labels_B: int64 pseudo labels in [0, K).
        temperature: Divides the similarities; the paper has 0.05.

    Returns:
        Mean loss, a float32 scalar >= 0.

    Paper: Dai et al., Cluster Contrast, arXiv 2103.11568, the ClusterNCE loss. Deviation: none.
    """
    return functional.cross_entropy(feats_BD @ protos_KD.detach().T / temperature, labels_B)
