"""Folding: the same function with fewer operations, for inference.

Batch norm disappears into the convolution or linear layer before it, and the scaling of pixels and the order of colours
into the first convolution. What stays keeps its parameter name, with `bias` added where a norm was folded in.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from train.images import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB
from train.network import FoldsNorms, Network

PIXEL_MEAN = "pixel_mean"
"""Name of the only added buffer: (1, 3, 1, 1), what is subtracted from BGR pixels."""
_PIXEL_MAX = 255.0


def fold_for_inference(network: Network) -> Network:
    """Copy a network into its folded form, which takes crops.

    Args:
        network: Not folded; left as it is.

    Returns:
        A network in evaluation mode that takes uint8 (B, 256, 128, 3) BGR crops as they are and computes what `network`
        computes from `train.images.images_of` them; without classifier, and not for training.
    """
    folded = copy.deepcopy(network).eval()
    folded.reset_classifier(0)
    for module in list(folded.modules()):
        if isinstance(module, FoldsNorms):
            module.fold_norms()
    _fold_pixels(folded)
    return folded.requires_grad_(False)


def _fold_pixels(network: Network) -> None:
    """Move scale and colour order into the first convolution; only the mean, which its zero padding sees, stays out."""
    weight = network.pixel_conv.weight
    std_BGR = weight.new_tensor(IMAGENET_STD_RGB[::-1]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        weight.copy_(weight.flip(1) / (std_BGR * _PIXEL_MAX))
    mean_BGR = weight.new_tensor(IMAGENET_MEAN_RGB[::-1]).reshape(1, 3, 1, 1) * _PIXEL_MAX
    network.register_buffer(PIXEL_MEAN, mean_BGR)
    # A hook and not a wrapper module, since a wrapper would put its own name before every parameter's.
    network.register_forward_pre_hook(_subtract_mean)


def _subtract_mean(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    # The cast comes first because TensorRT refuses to transpose uint8.
    (crops_BHW3,) = inputs
    return (crops_BHW3.float().permute(0, 3, 1, 2) - network.get_buffer(PIXEL_MEAN),)
