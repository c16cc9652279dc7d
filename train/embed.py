"""Embeddings of many crops with a network in training: folded, in big batches, without gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from reid.types import FloatArray, UInt8Array
from train.fold import fold_for_inference
from train.network import Network

BATCH_CROPS = 128


def embed_crops(network: Network, crops: UInt8Array, *, precision: str = "bf16") -> FloatArray:
    """Embed crops as the exported release would, up to the precision.

    Args:
        network: Left as it is; its mode does not matter.
        crops: uint8 (N, 256, 128, 3) BGR, may be memory-mapped.
        precision: `bf16` or `fp32`.

    Returns:
        (N, D) float32, unit norm.
    """
    folded: Network = fold_for_inference(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    device = next(folded.parameters()).device
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(crops), BATCH_CROPS):
            batch = torch.from_numpy(np.array(crops[start : start + BATCH_CROPS])).to(device)
            parts.append(functional.normalize(folded(batch).float(), dim=1).cpu())
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)
