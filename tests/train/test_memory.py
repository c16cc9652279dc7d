from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from train.memory import UpdateRule, unit_means, update_prototypes


def unit(*rows: list[float]) -> Tensor:
    return normalize(torch.tensor(rows), dim=1)


def plain_average(protos: Tensor, feats: Tensor, labels: Tensor, momentum: float) -> Tensor:
    protos = protos.clone()
    for feat, label in zip(feats, labels, strict=True):
        protos[label] = normalize(momentum * protos[label] + (1 - momentum) * feat, dim=0)
    return protos


def plain_hard(protos: Tensor, feats: Tensor, labels: Tensor, momentum: float) -> Tensor:
    updated = protos.clone()
    for label in labels.unique():
        own = feats[labels == label]
        hardest = own[(own @ protos[label]).argmin()]
        updated[label] = normalize(momentum * protos[label] + (1 - momentum) * hardest, dim=0)
    return updated


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(0, 40), momentum=st.floats(0, 0.9))
def test_vectorised_updates_equal_one_feature_after_the_other(seed: int, batch: int, momentum: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    protos = normalize(torch.randn(6, 8, generator=generator), dim=1)
    feats = normalize(torch.randn(batch, 8, generator=generator), dim=1)
    labels = torch.randint(0, 6, (batch,), generator=generator)
    average = update_prototypes(protos, feats, labels, momentum=momentum, rule="average")
    hard = update_prototypes(protos, feats, labels, momentum=momentum, rule="hard")
    torch.testing.assert_close(average, plain_average(protos, feats, labels, momentum))
    torch.testing.assert_close(hard, plain_hard(protos, feats, labels, momentum))


def test_average_by_hand() -> None:
    got = update_prototypes(unit([1.0, 0.0]), unit([0.0, 1.0]), torch.tensor([0]), momentum=0.25, rule="average")
    torch.testing.assert_close(got, unit([0.25, 0.75]))


def test_hard_takes_the_least_similar_only() -> None:
    feats = unit([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    got = update_prototypes(unit([1.0, 0.0]), feats, torch.zeros(3, dtype=torch.int64), momentum=0.5, rule="hard")
    torch.testing.assert_close(got, unit([1.0, 1.0]))


@pytest.mark.parametrize("rule", ["average", "hard"])
def test_clusters_without_a_sample_stay_and_the_input_is_not_touched(rule: UpdateRule) -> None:
    protos = unit([1.0, 0.0], [0.0, 1.0])
    before = protos.clone()
    got = update_prototypes(protos, unit([1.0, 1.0]), torch.tensor([1]), momentum=0.1, rule=rule)
    torch.testing.assert_close(got[0], before[0])
    torch.testing.assert_close(protos, before)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_prototype_is_refused(label: int) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        update_prototypes(torch.eye(2), torch.eye(2)[:1], torch.tensor([label]), momentum=0.1, rule="hard")


def test_unit_means() -> None:
    got = unit_means(unit([1.0, 0.0], [0.0, 1.0], [0.0, 1.0]), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(got, unit([1.0, 1.0], [0.0, 1.0]))
