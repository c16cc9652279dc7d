from __future__ import annotations

import pytest
import torch
from torch import nn

from train.optimiser import OptimiserSettings, learning_rate, make_optimiser, set_learning_rate

SETTINGS = OptimiserSettings(peak_lr=1.0, warmup_share=0.1, final_share=0.01)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.1), (0.05, 0.55), (0.1, 1.0), (0.55, 0.505), (1.0, 0.01)],
    ids=["start", "half warm", "peak", "half way down", "end"],
)
def test_rate_rises_to_the_peak_and_falls_as_a_cosine(progress: float, rate: float) -> None:
    assert learning_rate(progress, SETTINGS) == pytest.approx(rate)


def test_without_warm_up_the_run_starts_at_the_peak() -> None:
    assert learning_rate(0.0, OptimiserSettings(peak_lr=1.0, warmup_share=0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["adamw", "amsgrad"])
def test_norms_and_biases_do_not_decay(kind: str) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = make_optimiser(network, OptimiserSettings.model_validate({"kind": kind, "weight_decay": 0.1}))
    decaying, free = optimiser.param_groups
    assert [p.shape for p in decaying["params"]] == [torch.Size([4, 3])]
    assert (len(free["params"]), free["weight_decay"]) == (3, 0.0)


def test_rate_is_set_for_all_parameters() -> None:
    optimiser = make_optimiser(nn.Linear(2, 2), SETTINGS)
    set_learning_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]


def test_heads_learn_at_their_own_multiple_of_the_rate() -> None:
    optimiser = make_optimiser(nn.Linear(2, 2), SETTINGS, heads=nn.Linear(2, 3), heads_factor=10.0)
    set_learning_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25, 2.5, 2.5]


def test_a_step_schedule_drops_as_often_as_it_says() -> None:
    settings = OptimiserSettings(
        kind="sgd", peak_lr=1.0, warmup_share=0.0, schedule="step", drop_at=0.3, later_drops=(0.6, 0.8), drop_factor=0.2
    )
    rates = [learning_rate(progress, settings) for progress in (0.0, 0.3, 0.6, 0.9)]
    assert rates == pytest.approx([1.0, 0.2, 0.04, 0.008])


def test_sgd_gathers_momentum() -> None:
    optimiser = make_optimiser(nn.Linear(2, 2), OptimiserSettings(kind="sgd", momentum=0.5))
    assert isinstance(optimiser, torch.optim.SGD)
    assert all((group["momentum"], group["nesterov"]) == (0.5, True) for group in optimiser.param_groups)
