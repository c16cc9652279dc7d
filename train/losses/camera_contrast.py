"""Contrast across cameras: a sample is pulled to its cluster as other cameras see it."""

from __future__ import annotations

import torch
from torch import Tensor


def camera_contrast(
    feats_BD: Tensor,
    labels_B: Tensor,
    camids_B: Tensor,
    proxies_PD: Tensor,
    proxy_labels_P: Tensor,
    proxy_camids_P: Tensor,
    *,
    temperature: float,
    num_negatives: int,
) -> Tensor:
    """Cross-entropy of each same-cluster proxy of another camera against the hardest proxies of other clusters.

    A proxy is the mean of one cluster in one camera. Samples whose cluster one camera alone has seen do not count.

    Args:
        feats_BD: Unit-norm float32; the gradient reaches these only.
        labels_B: int64 pseudo labels.
        camids_B: int64 cameras.
        proxies_PD: Unit-norm float32.
        proxy_labels_P: int64 pseudo labels of the proxies.
        proxy_camids_P: int64 cameras of the proxies.
        temperature: Divides the similarities.
        num_negatives: How many of the most similar proxies of other clusters are contrasted against.

    Returns:
        Mean loss, a float32 scalar >= 0; 0 when no sample counts.

    Paper: Wang et al., Camera-Aware Proxies, AAAI 2021, arXiv 2012.10674, the inter-camera loss. Deviation: clusters
    need not be split first, and each positive is contrasted alone, so that one easy camera does not hide the others.
    """
    logits_BP = feats_BD @ proxies_PD.detach().T / temperature
    is_same_BP = labels_B[:, None] == proxy_labels_P[None, :]
    is_positive_BP = is_same_BP & (camids_B[:, None] != proxy_camids_P[None, :])
    num_positives_B = is_positive_BP.sum(dim=1)
    if not bool(num_positives_B.any()):
        return logits_BP.sum() * 0.0
    negatives_BP = logits_BP.masked_fill(is_same_BP, -torch.inf)
    hardest_Bn = negatives_BP.topk(min(num_negatives, len(proxies_PD)), dim=1).values
    negative_B1 = torch.logsumexp(hardest_Bn, dim=1, keepdim=True)
    loss_BP = torch.logaddexp(logits_BP, negative_B1) - logits_BP
    counts = num_positives_B > 0
    loss_B = loss_BP.masked_fill(~is_positive_BP, 0.0).sum(dim=1)[counts] / num_positives_B[counts]
    return loss_B.mean()
