"""From uint8 crops to what the network eats, as the exported graph does it too: RGB, ImageNet mean and deviation."""

from __future__ import annotations

import torch
from torch import Tensor

from reid.types import UInt8Array

IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)


def images_of(crops: UInt8Array, device: torch.device) -> Tensor:
    """Turn a batch of crops into network input.

    Args:
        crops: uint8 (B, H, W, 3) BGR.
        device: Where the result lies; the bytes travel, not the floats.

    Returns:
        float32 (B, 3, H, W) RGB, normalised, in channels-last memory order.
    """
    pixels_BHW3 = torch.from_numpy(crops).to(device).flip(-1).float()
    mean = torch.tensor(IMAGENET_MEAN_RGB, device=device) * 255
    std = torch.tensor(IMAGENET_STD_RGB, device=device) * 255
    return ((pixels_BHW3 - mean) / std).permute(0, 3, 1, 2)
