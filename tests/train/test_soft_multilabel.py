from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train.losses.reference_agents import agent_loss, joint_embedding
from train.losses.soft_multilabel import (
    MinedPairs,
    agreement,
    log_soft_multilabels,
    mine_pairs,
    multilabel_discrimination,
)
from train.losses.view_consistency import ViewStatistics, unknown_statistics, update_statistics, view_consistency

RIGHT, UP, LEFT = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def random_unit(rows: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, 5, generator=generator, dtype=torch.float64), dim=1).requires_grad_()


def pairs(*rows: tuple[int, int, bool]) -> MinedPairs:
    first, second, is_positive = (torch.tensor([row[place] for row in rows]) for place in range(3))
    return MinedPairs(first.long(), second.long(), is_positive.bool(), 0.5)


def test_soft_multilabel_by_hand() -> None:
    # Cosines 1 and 0 at scale 2: e^2 / (e^2 + 1) and 1 / (e^2 + 1).
    labels = log_soft_multilabels(torch.tensor([RIGHT]), torch.eye(2), scale=2.0).exp()
    assert labels[0].tolist() == pytest.approx([math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)])


def test_agreement_by_hand() -> None:
    # Minima of (.7, .3) and (.2, .8) are .2 and .3.
    shared = agreement(torch.tensor([[0.7, 0.3], [0.2, 0.8]]))
    torch.testing.assert_close(shared, torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


def test_the_most_similar_pairs_are_mined_and_told_apart_by_agreement() -> None:
    feats = torch.tensor([RIGHT, RIGHT, UP, UP])
    agreeing = torch.eye(4)
    agreeing[0, 1] = agreeing[0, 2] = 0.9
    mined = mine_pairs(feats, agreeing, ratio=2 / 6, last_bound=None, momentum=0.9)
    assert set(zip(mined.first_M.tolist(), mined.second_M.tolist(), strict=True)) == {(0, 1), (2, 3)}
    positive = {int(row): bool(flag) for row, flag in zip(mined.first_M, mined.is_positive_M, strict=True)}
    assert positive == {0: True, 2: False}
    assert mined.agreement_bound == pytest.approx(0.9)


def test_the_bound_on_agreement_follows_the_batches_slowly() -> None:
    mined = mine_pairs(torch.tensor([RIGHT, UP]), torch.full((2, 2), 0.6), ratio=1.0, last_bound=0.8, momentum=0.9)
    assert mined.agreement_bound == pytest.approx(0.9 * 0.8 + 0.1 * 0.6)
    assert not mined.is_positive_M.any()


def test_one_pair_at_least_is_mined_and_none_of_a_single_crop() -> None:
    mined = mine_pairs(torch.eye(3), torch.eye(3), ratio=0.001, last_bound=None, momentum=0.0)
    assert len(mined.first_M) == 1
    with pytest.raises(ValueError, match="1 features have no pair"):
        mine_pairs(torch.eye(1), torch.eye(1), ratio=1.0, last_bound=None, momentum=0.0)


@pytest.mark.parametrize(
    ("mined", "wanted"),
    [
        # Squared distances 0 (right, right), 2 (right, up), 4 (right, left).
        pytest.param(pairs((0, 1, True), (0, 2, False)), math.log(1 + math.exp(-2)), id="both"),
        pytest.param(pairs((0, 2, True)), math.log(math.exp(-2) + 0.5) + 2, id="no-negative"),
        pytest.param(pairs((0, 3, False)), math.log(1 + math.exp(-4)), id="no-positive"),
        pytest.param(pairs(), 0.0, id="nothing"),
    ],
)
def test_multilabel_discrimination_by_hand(mined: MinedPairs, wanted: float) -> None:
    feats = torch.tensor([RIGHT, RIGHT, UP, LEFT], requires_grad=True)
    loss = multilabel_discrimination(feats, mined)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert feats.grad is not None
    assert feats.grad.isfinite().all()


@pytest.mark.parametrize("mined", [pairs((0, 1, True), (1, 2, False)), pairs((0, 1, True)), pairs((0, 1, False))])
def test_multilabel_discrimination_gradient(mined: MinedPairs) -> None:
    assert torch.autograd.gradcheck(lambda f: multilabel_discrimination(f, mined), (random_unit(3),))


def test_statistics_of_the_first_batch_are_its_own_by_camera_and_of_all() -> None:
    log_labels = torch.tensor([[-1.0], [-3.0], [-5.0], [-7.0]])
    new = update_statistics(unknown_statistics(2, 1), log_labels, torch.tensor([0, 0, 1, 1]), momentum=0.9)
    assert new.means_VR.flatten().tolist() == [-2.0, -6.0, -4.0]
    assert new.stds_VR.flatten().tolist() == pytest.approx([1.0, 1.0, math.sqrt(5)], rel=1e-5)


def test_statistics_move_slowly_and_a_camera_with_one_crop_stays() -> None:
    last = ViewStatistics(torch.zeros(3, 1), torch.ones(3, 1), torch.tensor([True, False, True]))
    log_labels = torch.tensor([[-1.0], [-3.0], [-5.0]])
    new = update_statistics(last, log_labels, torch.tensor([0, 0, 1]), momentum=0.75)
    assert new.means_VR.flatten().tolist() == [-0.5, 0.0, -0.75]
    assert new.is_known_V.tolist() == [True, False, True]


def test_view_consistency_by_hand() -> None:
    # Camera 0: means apart by 3, deviations by 1; camera 1 is as all; camera 2 was never seen.
    means = torch.tensor([[-1.0], [-4.0], [9.0], [-4.0]])
    stds = torch.tensor([[1.0], [2.0], [9.0], [2.0]])
    known = torch.tensor([True, True, False, True])
    assert view_consistency(ViewStatistics(means, stds, known)).item() == pytest.approx(3**2 + 1**2)


def test_view_consistency_of_nothing_is_zero() -> None:
    assert view_consistency(unknown_statistics(3, 2)).item() == 0.0


def test_view_consistency_gradient_reaches_the_batch() -> None:
    camids = torch.tensor([0, 0, 1, 1, 1, 2])
    last = update_statistics(unknown_statistics(3, 5), random_unit(6, seed=1).detach(), camids, momentum=0.5)
    log_labels = random_unit(6)

    def loss(labels: Tensor) -> Tensor:
        return view_consistency(update_statistics(last, labels, camids, momentum=0.5))

    assert torch.autograd.gradcheck(loss, (log_labels,))


def test_crops_of_one_camera_that_are_all_alike_have_a_finite_gradient() -> None:
    log_labels = torch.full((3, 2), -1.0, requires_grad=True)
    new = update_statistics(unknown_statistics(1, 2), log_labels, torch.zeros(3).long(), momentum=0.5)
    (view_consistency(new) + new.stds_VR.sum()).backward()  # type: ignore[no-untyped-call]
    assert log_labels.grad is not None
    assert log_labels.grad.isfinite().all()


def test_agent_loss_by_hand() -> None:
    # Cosines 1 and 0 at scale 3, the first being right: log(1 + e^-3).
    loss = agent_loss(torch.tensor([RIGHT]), torch.tensor([0]), torch.eye(2), scale=3.0)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-3)), rel=1e-5)


def test_joint_embedding_by_hand() -> None:
    # Own agent at cosine 0.8: distance 0.4. Others of the first agent: the reference crop of the second (0.8 too: short
    # of the margin by 0.2), a target crop on it (by 1), one opposite (beyond). Of the second: its own counts not.
    source, target = torch.tensor([[0.8, 0.6], [0.6, 0.8]]), torch.tensor([RIGHT, LEFT])
    loss = joint_embedding(source, torch.tensor([0, 1]), target, torch.eye(2), margin=1.0)
    pushed_by_first, pushed_by_second = (0.2 + 1.0) / 2, 0.2
    assert loss.item() == pytest.approx(0.4 + (pushed_by_first + pushed_by_second) / 2, rel=1e-5)


def test_joint_embedding_pushes_nobody_beyond_the_margin() -> None:
    source = torch.tensor([RIGHT])
    assert joint_embedding(source, torch.tensor([0]), torch.tensor([LEFT]), torch.eye(2), margin=1.0).item() == 0.0


def test_agent_losses_gradient_reaches_crops_and_agents() -> None:
    labels = torch.tensor([0, 2, 2])
    source, target, agents = random_unit(3), random_unit(4, seed=1), random_unit(3, seed=2)
    assert torch.autograd.gradcheck(lambda s, a: agent_loss(s, labels, a, scale=5.0), (source, agents))
    assert torch.autograd.gradcheck(
        lambda s, t, a: joint_embedding(s, labels, t, a, margin=1.5), (source, target, agents)
    )
