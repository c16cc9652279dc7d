from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from train.methods.ise import Ise, IseConfig, extend, extension_strength
from train.methods.method import Batch

PROTOS = normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), dim=1)


def test_extension_grows_from_nothing_to_its_whole() -> None:
    assert extension_strength(2.0, 0.0) == 0.0
    assert math.isclose(extension_strength(2.0, 1.0), 2.0)
    assert math.isclose(extension_strength(1.0, 0.5), math.log((math.e - 1) / 2 + 1))


def test_support_lies_towards_the_nearest_other_cluster() -> None:
    feats, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    supports, support_labels = extend(feats, labels, PROTOS, strength=0.5)
    torch.testing.assert_close(supports, normalize(torch.tensor([[1.0 + 0.5 * (0.8 - 1.0), 0.5 * 0.6]]), dim=1))
    assert support_labels.tolist() == [0]


def test_several_directions_make_several_supports_of_the_same_label() -> None:
    supports, labels = extend(PROTOS[:2], torch.tensor([0, 1]), PROTOS, strength=0.1, num_directions=5)
    assert supports.shape == (4, 2)
    assert labels.tolist() == [0, 0, 1, 1]


def test_without_strength_a_support_is_its_sample() -> None:
    supports, _ = extend(PROTOS, torch.arange(3), PROTOS, strength=0.0)
    torch.testing.assert_close(supports, PROTOS)


def test_a_single_cluster_has_no_direction() -> None:
    feats = PROTOS[:1]
    supports, labels = extend(feats, torch.tensor([0]), PROTOS[:1], strength=1.0)
    torch.testing.assert_close(supports, feats)
    assert labels.tolist() == [0]


def test_gradient_reaches_the_sample() -> None:
    feats = normalize(torch.randn(4, 6, dtype=torch.float64), dim=1).requires_grad_()
    protos = normalize(torch.randn(3, 6, dtype=torch.float64), dim=1).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda f: extend(f, labels, protos, strength=0.3)[0], (feats,))
    extend(feats, labels, protos, strength=0.3)[0].sum().backward()
    assert protos.grad is None


@pytest.mark.parametrize("from_supports", [False, True])
def test_memory_moves_by_samples_or_also_by_supports(from_supports: bool) -> None:
    method = Ise(IseConfig(memory_from_supports=from_supports, update_rule="average"))
    method.begin_epoch(PROTOS, torch.arange(3), torch.zeros(3, dtype=torch.int64))
    batch = Batch(PROTOS.clone().requires_grad_(), torch.arange(3), torch.zeros(3, dtype=torch.int64))
    assert method.loss(batch, progress=0.9).item() > 0
    method.update(batch)
    moved = not torch.allclose(method.protos_KD, PROTOS, atol=1e-5)
    assert moved == from_supports
