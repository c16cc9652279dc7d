"""Soft multilabels: who of the known identities a person looks like, and a loss that mines pairs by them.

Yu et al., "Unsupervised Person Re-identification by Soft Multilabel Learning", CVPR 2019, arXiv 1903.06325. Two crops
that look alike and look like the same known identities show one person; two that look alike but compare differently
are a hard negative pair.

Shape letters: B batch, D embedding, R reference agents (known identities), M pairs of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_POSITIVE_IF_NONE = 1.0
_NEGATIVE_IF_NONE = 0.5


def log_soft_multilabels(feats_BD: Tensor, agents_RD: Tensor, *, scale: float) -> Tensor:
    """Log of the softmax over reference agents of the scaled cosine.

    Args:
        feats_BD: Unit-norm float32.
        agents_RD: Unit-norm float32, one a known identity.
        scale: Multiplies cosines; 1 in the paper's formula, 30 in the authors' released code.

    Returns:
        (B, R) float32 <= 0; the exponentials of a row sum to 1.
    """
    return functional.log_softmax(scale * (feats_BD @ agents_RD.T), dim=1)


def agreement(multilabels_BR: Tensor) -> Tensor:
    """How much of two soft multilabels is shared: the sum of elementwise minima, 1 - |y_i - y_j|_1 / 2.

    Args:
        multilabels_BR: float32 in [0, 1], rows sum to 1.

    Returns:
        (B, B) float32 in [0, 1], symmetric.

    Paper: eq. 3.
    """
    return 1.0 - 0.5 * torch.cdist(multilabels_BR, multilabels_BR, p=1.0)


@dataclass(frozen=True)
class MinedPairs:
    """Pairs of a batch that look most alike, told apart by agreement.

    Attributes:
        first_M: int64 rows of the batch.
        second_M: int64 rows, each later than that of `first_M`.
        is_positive_M: bool; the others are hard negatives.
        agreement_bound: Agreement that as large a share of all pairs reaches as was mined.
    """

    first_M: Tensor
    second_M: Tensor
    is_positive_M: Tensor
    agreement_bound: float


@torch.no_grad()
def mine_pairs(
    feats_BD: Tensor, agreement_BB: Tensor, *, ratio: float, last_bound: float | None, momentum: float
) -> MinedPairs:
    """Take the most similar pairs and call those positive that agree no less than as many pairs of the batch do.

    Args:
        feats_BD: Unit-norm float32; B > 1.
        agreement_BB: See `agreement`.
        ratio: Share p of the batch's pairs that is mined, in (0, 1]; one pair at least.
        last_bound: Bound that the last batch left; None for the first.
        momentum: Share of the last bound that stays, in [0, 1).

    Raises:
        ValueError: The batch has no pair.

    Paper: section 3.2. The bound T follows the quantile p of agreement over batches, as in the authors' released code.
    """
    if len(feats_BD) < 2:
        raise ValueError(f"{len(feats_BD)} features have no pair, wanted 2 or more")
    first, second = torch.triu_indices(len(feats_BD), len(feats_BD), offset=1, device=feats_BD.device)
    num_mined = max(1, round(ratio * len(first)))
    agreement_M = agreement_BB[first, second]
    bound = float(agreement_M.topk(num_mined).values[-1])
    if last_bound is not None:
        bound = momentum * last_bound + (1.0 - momentum) * bound
    mined = (feats_BD @ feats_BD.T)[first, second].topk(num_mined).indices
    return MinedPairs(first[mined], second[mined], agreement_M[mined] >= bound, bound)


def multilabel_discrimination(feats_BD: Tensor, pairs: MinedPairs) -> Tensor:
    """-log(P / (P + N)), P and N the mean of exp(-|f_i - f_j|^2) over positive and over hard negative pairs.

    Where no pair is positive P is 1, as if nothing were left to pull, and negatives are still pushed; where none is
    negative N is 0.5; where there is neither the loss is 0.

    Args:
        feats_BD: Unit-norm float32, with gradient.
        pairs: Rows of them.

    Returns:
        A float32 scalar >= 0.

    Paper: eq. 5. Deviation: none; what an empty set counts as is that of the authors' released code.
    """
    if not len(pairs.first_M):
        return feats_BD.sum() * 0.0
    nearness_M = torch.exp(-(feats_BD[pairs.first_M] - feats_BD[pairs.second_M]).square().sum(dim=1))
    positive = _mean_or(nearness_M[pairs.is_positive_M], _POSITIVE_IF_NONE)
    negative = _mean_or(nearness_M[~pairs.is_positive_M], _NEGATIVE_IF_NONE)
    return torch.log(positive + negative) - torch.log(positive)


def _mean_or(values: Tensor, default: float) -> Tensor:
    return values.mean() if len(values) else values.new_tensor(default)
