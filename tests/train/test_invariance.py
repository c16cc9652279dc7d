from __future__ import annotations

import math

import pytest
import torch

from train.losses.invariance import invariance, slot_weights

SIMILARITY = torch.tensor([[0.9, 0.5, 0.8, 0.1]])


@pytest.mark.parametrize(
    ("num_neighbours", "own", "wanted"),
    [
        (0, 1.0, [1.0, 0.0, 0.0, 0.0]),
        (3, 1.0, [1.0, 1 / 3, 1 / 3, 0.0]),
        (3, 0.0, [0.0, 1 / 3, 1 / 3, 0.0]),
        (9, 1.0, [1.0, 1 / 9, 1 / 9, 1 / 9]),
    ],
    ids=["own-slot-alone", "top-three", "neighbours-alone", "more-neighbours-than-slots"],
)
def test_weights_of_slots(num_neighbours: int, own: float, wanted: list[float]) -> None:
    weights = slot_weights(SIMILARITY, torch.tensor([0]), torch.tensor([own]), num_neighbours=num_neighbours)
    torch.testing.assert_close(weights, torch.tensor([wanted]))


def test_the_own_slot_counts_fully_even_where_it_is_not_near() -> None:
    weights = slot_weights(SIMILARITY, torch.tensor([3]), torch.ones(1), num_neighbours=2)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.0, 0.5, 1.0]]))


def test_invariance_by_hand() -> None:
    # Cosines 1 and 0 at temperature 0.5: shares e^2 and 1 of their sum; the own slot counts 1, the neighbour 0.5.
    similarity, weights = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    total = math.exp(2) + 1
    wanted = -(math.log(math.exp(2) / total) + 0.5 * math.log(1 / total))
    assert float(invariance(similarity, weights, temperature=0.5)) == pytest.approx(wanted, rel=1e-6)


def test_a_crop_without_weight_adds_nothing_and_no_crop_is_no_loss() -> None:
    similarity, weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    both = invariance(similarity, weights, temperature=0.5)
    assert float(both) == pytest.approx(float(invariance(similarity[:1], weights[:1], temperature=0.5)) / 2)
    assert float(invariance(torch.empty(0, 2), torch.empty(0, 2), temperature=0.5)) == 0.0


def test_invariance_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.rand(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: invariance(s, weights, temperature=0.3), (similarity,))
