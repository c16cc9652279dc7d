"""The weighted multi-label loss: what is rare counts more.

Paper: Li et al., Multi-attribute Learning for Pedestrian Attribute Recognition (DeepMAR), ACPR 2015, eq. 3 and 4 with
sigma 1. Deviation: none.

Shape letters: B batch, A attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def weighted_bce(logits_BA: Tensor, labels_BA: Tensor, shares_A: Tensor) -> Tensor:
    """Binary cross-entropy, summed over attributes and averaged over the batch.

    An attribute that a picture has is weighed by exp(1 - share), one that it lacks by exp(share).

    Args:
        logits_BA: Before the sigmoid.
        labels_BA: 0 or 1, of the same type.
        shares_A: Of the training pictures that have each attribute, in [0, 1].

    Returns:
        A scalar.
    """
    weights_BA = torch.exp(torch.where(labels_BA > 0, 1 - shares_A, shares_A))
    losses_BA = functional.binary_cross_entropy_with_logits(logits_BA, labels_BA, weight=weights_BA, reduction="none")
    return losses_BA.sum(dim=1).mean()
