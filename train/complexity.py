"""Size and cost of a network: parameters at test time, and multiply-accumulates of one image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from train.architectures import build_network
from train.network import Network


def count_parameters(architecture: str) -> int:
    """Parameters at test time: without classifier, and the gate that four streams share counted once.

    Raises:
        ConfigError: Unknown architecture.
    """
    return sum(parameter.numel() for parameter in _build_on_meta(architecture).parameters())


def count_macs(architecture: str) -> int:
    """Multiply-accumulates of convolutions and linear layers for one 256x128 image, each as often as it runs.

    Raises:
        ConfigError: Unknown architecture.
    """
    total = 0

    def add(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        # Each output number takes one product per weight of its own filter.
        total += output.numel() * weight[0].numel()

    network = _build_on_meta(architecture).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    network(torch.empty(1, 3, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, device="meta"))
    return total


def _build_on_meta(architecture: str) -> Network:
    # On the meta device tensors have shapes but no content, so this takes no memory and no arithmetic.
    with torch.device("meta"):
        return build_network(architecture)
