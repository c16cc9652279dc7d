"""Invariance of a site's crops against a memory of all of them: each is its own class, and a little its neighbours'.

Pure functions on tensors. Shape letters: T target crops of a batch, M crops in the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def slot_weights(similarity_TM: Tensor, rows_T: Tensor, own_T: Tensor, *, num_neighbours: int) -> Tensor:
    """How much each slot of the memory counts as right for each crop.

    Args:
        similarity_TM: Cosines of the crops to the memory.
        rows_T: int64 own slots, in [0, M).
        own_T: Weight of the own slot.
        num_neighbours: k: each of the k most similar slots weighs 1/k, save the own one; 0 or 1: the own slot alone.

    Returns:
        (T, M) float32 >= 0.

    Paper: Zhong et al., Invariance Matters, CVPR 2019, arXiv 1904.01990, equations 6 and 7. Deviation: the own slot may
    weigh less than 1, so that exemplar and camera invariance can be switched off.
    """
    weights_TM = torch.zeros_like(similarity_TM)
    if num_neighbours > 1:
        count = min(num_neighbours, similarity_TM.shape[1])
        weights_TM.scatter_(1, similarity_TM.topk(count, dim=1).indices, 1.0 / num_neighbours)
    return weights_TM.scatter_(1, rows_T[:, None], own_T[:, None].to(weights_TM))


def invariance(similarity_TM: Tensor, weights_TM: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of each crop's similarities to the memory against the slots that count as right.

    Args:
        similarity_TM: Cosines of the crops to the memory.
        weights_TM: What `slot_weights` gave; a crop whose weights are all 0 adds nothing.
        temperature: Divides the similarities; the paper has 0.05.

    Returns:
        Mean over the T crops, a float32 scalar >= 0; 0 for an empty batch.

    Paper: the same, equation 8. Deviation: none.
    """
    if len(similarity_TM) == 0:
        return similarity_TM.sum() * 0.0
    log_share_TM = functional.log_softmax(similarity_TM / temperature, dim=1)
    return -(weights_TM * log_share_TM).sum(dim=1).mean()
