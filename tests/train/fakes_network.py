"""Networks with random weights whose batch norms have seen something, so that folding them changes numbers."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from train.network import Network
from train.osnet import OSNet, build_osnet

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def seeded_osnet(architecture: str = "osnet_x0_25", *, seed: int = 0, num_classes: int = 0) -> OSNet:
    torch.manual_seed(seed)
    network = shaken(build_osnet(architecture))
    network.reset_classifier(num_classes)  # last, so that everything before it does not depend on the classes
    return network


def shaken(network: AnyNetwork) -> AnyNetwork:
    """Give norms figures as if they had seen something, in place; in evaluation mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    return network.eval()
