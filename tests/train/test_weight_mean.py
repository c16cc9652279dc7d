from __future__ import annotations

import torch
from fakes_network import seeded_osnet
from torch import Tensor

from train.osnet import OSNet
from train.weight_mean import WeightMean

WEIGHT, RUNNING_MEAN = "conv5.conv.weight", "conv5.bn.running_mean"


def tensor(network: OSNet, name: str) -> Tensor:
    value: Tensor = network.state_dict()[name]
    return value


def test_mean_follows_weights_and_figures_of_norms_slowly() -> None:
    network = seeded_osnet()
    mean = WeightMean(network, 0.9)
    mean.update(network)  # the first update copies
    before = {name: tensor(network, name).clone() for name in (WEIGHT, RUNNING_MEAN)}
    for name in before:
        tensor(network, name).add_(1.0)
    mean.update(network)
    for name, start in before.items():
        assert torch.allclose(tensor(mean.network, name), start + 0.1, atol=1e-6)


def test_state_goes_on_where_it_was() -> None:
    mean, other = WeightMean(seeded_osnet(), 0.9), WeightMean(seeded_osnet(seed=3), 0.9)
    other.restore(mean.state())
    assert torch.equal(tensor(other.network, WEIGHT), tensor(mean.network, WEIGHT))
