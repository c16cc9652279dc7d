from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.contrast import cluster_contrast
from train.losses.label_preserving import label_preserving


def random_unit(rows: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, 5, generator=generator, dtype=torch.float64), dim=1).requires_grad_()


def test_contrast_by_hand() -> None:
    # Similarities 1 and 0, temperature 0.5: -log(e^2 / (e^2 + 1)).
    loss = cluster_contrast(torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.tensor([0]), temperature=0.5)
    assert math.isclose(float(loss), math.log(1 + math.exp(-2)), rel_tol=1e-6)


def test_contrast_gradient_reaches_features_only() -> None:
    feats, protos = random_unit(4), random_unit(3, seed=1)
    labels = torch.tensor([0, 1, 2, 0])
    cluster_contrast(feats, protos, labels, temperature=0.05).backward()  # type: ignore[no-untyped-call]
    assert feats.grad is not None
    assert protos.grad is None
    assert torch.autograd.gradcheck(lambda f: cluster_contrast(f, protos, labels, temperature=0.05), (feats,))


def test_label_preserving_by_hand() -> None:
    # One sample of label 0. Own supports at cosines 1 and 0: the least similar counts. Label 1 at 0.6 and 0: the most
    # similar counts. Temperature 1: -log(e^0 / (e^0 + e^0.6)).
    feats, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    supports = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, -1.0]])
    loss = label_preserving(feats, labels, supports, torch.tensor([0, 0, 1, 1]), temperature=1.0)
    assert math.isclose(float(loss), math.log(1 + math.exp(0.6)), rel_tol=1e-6)


def test_label_preserving_of_one_identity_is_zero() -> None:
    feats = random_unit(3)
    loss = label_preserving(feats, torch.zeros(3, dtype=torch.int64), feats, torch.zeros(3, dtype=torch.int64))
    assert loss.item() == 0.0


def test_label_preserving_gradient() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    feats, supports = random_unit(5), random_unit(5, seed=1)
    assert torch.autograd.gradcheck(lambda f, s: label_preserving(f, labels, s, labels), (feats, supports))
