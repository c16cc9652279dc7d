from __future__ import annotations

import pytest
import torch

from train.losses.triplet import batch_hard_triplet

AT_DEGREES = [0.0, 60.0, 90.0]
LABELS = torch.tensor([0, 0, 1])


def unit_vectors(degrees: list[float]) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def chord(degrees: float) -> float:
    return 2 * float(torch.sin(torch.deg2rad(torch.tensor(degrees / 2, dtype=torch.float64))))


def test_value_by_hand() -> None:
    loss = batch_hard_triplet(unit_vectors(AT_DEGREES), LABELS, margin=0.3)
    first = max(0.0, chord(60) - chord(90) + 0.3)
    second = chord(60) - chord(30) + 0.3
    third = max(0.0, 1e-4 - chord(30) + 0.3)
    assert float(loss) == pytest.approx((first + second + third) / 3, abs=1e-9)


def test_length_of_features_does_not_matter() -> None:
    feats = unit_vectors(AT_DEGREES)
    scaled = feats * torch.tensor([[1.0], [20.0], [0.1]])
    assert float(batch_hard_triplet(scaled, LABELS, margin=0.3)) == pytest.approx(
        float(batch_hard_triplet(feats, LABELS, margin=0.3))
    )


def test_gradient_is_that_of_the_formula() -> None:
    feats = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, labels, margin=0.5), (feats,))


def test_equal_features_have_a_finite_gradient() -> None:
    feats = torch.ones(4, 3, requires_grad=True)
    batch_hard_triplet(feats, torch.tensor([0, 0, 1, 1]), margin=0.3).backward()  # type: ignore[no-untyped-call]
    assert feats.grad is not None
    assert torch.isfinite(feats.grad).all()


def test_one_identity_alone_costs_nothing() -> None:
    assert float(batch_hard_triplet(unit_vectors(AT_DEGREES), torch.zeros(3, dtype=torch.long), margin=0.3)) == 0.0
