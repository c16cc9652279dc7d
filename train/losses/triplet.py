"""Batch-hard triplet loss.

Paper: Hermans et al., In Defense of the Triplet Loss, arXiv 1703.07737, eq. 5. Deviation: distances are between
features scaled to unit norm, as retrieval compares them, so the margin lies in [0, 2].

Shape letters: B batch, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEAST_SQUARED_DISTANCE = 1e-8
"""Keeps the gradient of the square root finite where two features are equal."""


def batch_hard_triplet(feats_BD: Tensor, labels_B: Tensor, *, margin: float) -> Tensor:
    """Pull each sample's farthest positive nearer than its nearest negative, by a margin.

    Args:
        feats_BD: (B, D) float, any norm but zero.
        labels_B: (B,) int64.
        margin: Wanted gap between the two Euclidean distances.

    Returns:
        Scalar: mean over samples of max(0, farthest positive - nearest negative + margin). A sample is its own positive
        where it has no other; in a batch of one label there is no negative and the loss is zero.
    """
    unit_BD = functional.normalize(feats_BD)
    dist_BB = (2 - 2 * unit_BD @ unit_BD.T).clamp(min=_LEAST_SQUARED_DISTANCE).sqrt()
    same_BB = labels_B[:, None] == labels_B[None, :]
    farthest_B = dist_BB.masked_fill(~same_BB, -torch.inf).amax(dim=1)
    nearest_B = dist_BB.masked_fill(same_BB, torch.inf).amin(dim=1)
    return functional.relu(farthest_B - nearest_B + margin).mean()
