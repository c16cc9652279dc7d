"""Learning of reference agents: one vector for each known identity, which crops of all others are compared with.

Yu et al., "Unsupervised Person Re-identification by Soft Multilabel Learning", CVPR 2019, arXiv 1903.06325, sect. 3.4.

Shape letters: S reference (source) crops, T target crops, D embedding, R reference agents, A agents of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def agent_loss(source_feats_SD: Tensor, labels_S: Tensor, agents_RD: Tensor, *, scale: float) -> Tensor:
    """Cross-entropy of reference crops over the agents, their own being right.

    Args:
        source_feats_SD: Unit-norm float32, with gradient.
        labels_S: int64 identities in [0, R).
        agents_RD: Unit-norm float32, with gradient.
        scale: Multiplies cosines, as in the soft multilabels.

    Returns:
        A float32 scalar >= 0.

    Paper: eq. 8.
    """
    return functional.cross_entropy(scale * (source_feats_SD @ agents_RD.T), labels_S)


def joint_embedding(
    source_feats_SD: Tensor, labels_S: Tensor, target_feats_TD: Tensor, agents_RD: Tensor, *, margin: float
) -> Tensor:
    """Pull reference crops to their agent, and push everybody else beyond a margin from it.

    Args:
        source_feats_SD: Unit-norm float32, with gradient; S > 0.
        labels_S: int64 identities in [0, R).
        target_feats_TD: Unit-norm float32, with gradient: people whom none of the agents stands for.
        agents_RD: Unit-norm float32, with gradient.
        margin: Least squared distance of others to an agent; 1 in the paper.

    Returns:
        A float32 scalar >= 0. Agents without a reference crop in the batch take no part, and one from which everybody
        else keeps the margin pushes nobody.

    Paper: eq. 10. Deviations: reference crops of other identities are pushed too, as in the authors' released code; and
    where the paper sums, here the pull is a mean over reference crops and the push a mean over the crops that an agent
    has within its margin, then over agents, so that neither depends on the size of a batch.
    """
    pull = (2.0 - 2.0 * (source_feats_SD * agents_RD[labels_S]).sum(dim=1)).mean()
    identities_A = torch.unique(labels_S)
    others = torch.cat([source_feats_SD, target_feats_TD])
    is_own_AO = functional.pad(identities_A[:, None] == labels_S[None, :], (0, len(target_feats_TD)))
    # Squared distances of unit vectors; a difference of all pairs would not fit into memory.
    shortfall_AO = margin - (2.0 - 2.0 * (agents_RD[identities_A] @ others.T))
    is_near_AO = (shortfall_AO > 0) & ~is_own_AO
    push_A = (shortfall_AO * is_near_AO).sum(dim=1) / is_near_AO.sum(dim=1).clamp(min=1)
    return pull + push_A.mean()
