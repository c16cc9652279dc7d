from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.ablations import GROUPS
from train.adapt import AdaptSettings
from train.architectures import build_network
from train.commands_adapt import RECIPES, TRANSFER_RECIPES
from train.commands_supervised import RECIPES as SUPERVISED_RECIPES
from train.losses.contrast import cluster_contrast
from train.methods.ise import Ise, IseConfig
from train.methods.method import Batch
from train.recipes.ablations import OSNET_ABLATIONS, ise_lp, ise_pli

ALL = {**RECIPES, **TRANSFER_RECIPES, **SUPERVISED_RECIPES}


@pytest.mark.parametrize("name", [row for rows in GROUPS.values() for row in rows])
def test_every_row_of_an_ablation_is_a_recipe_of_its_own(name: str) -> None:
    others = [ALL[other]().model_dump() for rows in GROUPS.values() if name in rows for other in rows if other != name]
    assert ALL[name]().model_dump() not in others


@pytest.mark.parametrize(
    ("settings", "contrasts", "has_weight"),
    [(ise_pli(), True, False), (ise_lp(), False, True)],
    ids=["PLI alone", "LP alone"],
)
def test_ise_loses_one_part_at_a_time(settings: AdaptSettings, contrasts: bool, has_weight: bool) -> None:
    assert isinstance(settings.method, IseConfig)
    assert settings.method.contrasts_supports is contrasts
    assert (settings.method.label_preserving_weight > 0) is has_weight


def test_osnets_compared_differ_in_their_network_alone() -> None:
    recipes = [recipe() for recipe in OSNET_ABLATIONS.values()]
    assert len({settings.architecture for settings in recipes}) == len(recipes) == 9
    assert all(build_network(settings.architecture) for settings in recipes)
    assert len({settings.model_copy(update={"architecture": ""}).model_dump_json() for settings in recipes}) == 1


@pytest.mark.parametrize("method", ["ecn", "mar"])
def test_the_server_can_ask_for_both_methods_that_take_a_source(method: str) -> None:
    assert method in TRANSFER_RECIPES


def test_without_pli_the_contrast_is_that_of_the_samples_alone() -> None:
    protos = normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), dim=1)
    batch = Batch(feats_BD=protos[:2], labels_B=torch.tensor([0, 1]), camids_B=torch.tensor([1, 2]))
    alone = _loss_of(IseConfig(contrasts_supports=False, label_preserving_weight=0.0), protos, batch)
    plain = cluster_contrast(batch.feats_BD, protos, batch.labels_B, temperature=IseConfig().temperature)
    assert alone == pytest.approx(float(plain))


def test_without_pli_supports_still_serve_the_label_preserving_loss() -> None:
    protos = normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), dim=1)
    batch = Batch(feats_BD=protos[:2], labels_B=torch.tensor([0, 1]), camids_B=torch.tensor([1, 2]))
    without = _loss_of(IseConfig(contrasts_supports=False, label_preserving_weight=0.0), protos, batch)
    with_lp = _loss_of(IseConfig(contrasts_supports=False, label_preserving_weight=1.0), protos, batch)
    assert with_lp > without + 0.01


def _loss_of(config: IseConfig, protos: Tensor, batch: Batch) -> float:
    method = Ise(config)
    method.protos_KD = protos
    return float(method.loss(batch, progress=0.5))
