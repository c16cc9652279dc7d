from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.losses.adversarial import critic_gap, gradient_penalty


def pictures(seed: int) -> Tensor:
    return torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_critic_that_prefers_real_pictures_has_a_negative_gap() -> None:
    assert float(critic_gap(torch.tensor([3.0, 1.0]), torch.tensor([1.0, -2.0]))) == -2.5


@pytest.mark.parametrize(("slope", "wanted"), [(0.5, 0.0), (1.0, 1.0)])
def test_penalty_of_a_linear_critic_by_hand(slope: float, wanted: float) -> None:
    # Each of four pixels has this slope, so the norm is twice it.
    penalty = gradient_penalty(lambda p: slope * p.sum(dim=(1, 2, 3)), pictures(0), pictures(1), torch.rand(2))
    assert float(penalty) == pytest.approx(wanted)


def test_penalty_has_a_gradient_for_the_critic() -> None:
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    shares = torch.tensor([0.2, 0.9], dtype=torch.float64)

    def penalty(weight: Tensor) -> Tensor:
        return gradient_penalty(lambda p: (weight * p.square()).sum(dim=(1, 2, 3)), pictures(0), pictures(1), shares)

    assert torch.autograd.gradcheck(penalty, (weight,))
