"""ISE's label-preserving loss: support samples must keep the identity of the sample they were made from."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.6


def label_preserving(
    feats_BD: Tensor,
    labels_B: Tensor,
    supports_SD: Tensor,
    support_labels_S: Tensor,
    *,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Contrast each sample's least similar own support with the most similar support of every other identity.

    Args:
        feats_BD: Unit-norm float32 embeddings of a batch.
        labels_B: int64 pseudo labels.
        supports_SD: Unit-norm float32 support samples; every label of the batch has at least one.
        support_labels_S: int64 pseudo labels of the supports.
        temperature: Divides the similarities; 0.6 in the paper.

    Returns:
        Mean loss, a float32 scalar; 0 when the batch holds one identity.

    Paper: Zhang et al., ISE, arXiv 2204.06892, the label-preserving loss. Deviation: none.
    """
    logits_BS = feats_BD @ supports_SD.T / temperature
    identities, group_S = torch.unique(support_labels_S, return_inverse=True)
    is_own_BS = labels_B[:, None] == support_labels_S[None, :]
    positive_B = logits_BS.masked_fill(~is_own_BS, torch.inf).amin(dim=1)
    lowest = logits_BS.new_full((len(feats_BD), len(identities)), -torch.inf)
    hardest_BP = lowest.scatter_reduce(1, group_S.expand_as(logits_BS), logits_BS, reduce="amax")
    negatives_BP = hardest_BP.masked_fill(labels_B[:, None] == identities[None, :], -torch.inf)
    all_logits = torch.cat([positive_B[:, None], negatives_BP], dim=1)
    return (torch.logsumexp(all_logits, dim=1) - positive_B).mean()
