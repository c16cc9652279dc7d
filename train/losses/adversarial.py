"""Terms of a critic that tells real pictures from made ones (WGAN-GP). Shape letters: B batch, C H W image.

Paper: Gulrajani et al., Improved Training of Wasserstein GANs, arXiv 1704.00028. Deviation: none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def critic_gap(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """How far made pictures score above real ones: a critic lowers it.

    Args:
        real_scores: float32, any shape.
        fake_scores: float32, any shape.
    """
    return fake_scores.mean() - real_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real_BCHW: Tensor, fake_BCHW: Tensor, shares_B: Tensor
) -> Tensor:
    """Mean squared distance from 1 of the critic's slope between real and made pictures.

    Args:
        critic: Scores of pictures, any number of them each.
        real_BCHW: float32.
        fake_BCHW: float32, without gradient.
        shares_B: Share of the real picture in the point at which the slope is taken, in [0, 1].

    Returns:
        A float32 scalar >= 0, with gradient for the critic.
    """
    shares_B111 = shares_B[:, None, None, None]
    between = (shares_B111 * real_BCHW + (1 - shares_B111) * fake_BCHW).requires_grad_()
    scores = critic(between)
    (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1.0).square().mean()
    return penalty
