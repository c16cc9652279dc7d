"""How the streams of a block become one: OSNet's gate, and what its paper compares it with (table 5).

    shared      one gate for all streams: a weight for each channel, computed from the stream itself (what OSNet has)
    separate    a gate of its own for each stream
    streamwise  the shared gate gives one weight for the whole stream
    fixed       a learned weight for each stream and channel, which does not depend on the input
    none        streams are added
    concat      streams stay side by side, and the 1x1 that follows is that much wider

Paper: Zhou et al., Omni-Scale Feature Learning, ICCV 2019, arXiv 1905.00953. Deviation: it does not say how fixed
weights start; ours start at a half, as gates do.

Shape letters: B batch, C channels, H W image, T streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

Gating = Literal["shared", "separate", "streamwise", "fixed", "none", "concat"]

_GATE_REDUCTION = 16


class ChannelGate(nn.Module):
    """Aggregation gate: weights in (0, 1) for a stream, computed from that stream (paper, eq. 3).

    Args:
        channels: Of the stream.
        num_weights: One for each channel, or 1.
    """

    def __init__(self, channels: int, num_weights: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // _GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // _GATE_REDUCTION, num_weights, 1)

    def forward(self, stream_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, num_weights, 1, 1)."""
        pooled = adaptive_avg_pool2d(stream_BCHW, 1)
        return torch.sigmoid(self.fc2(relu(self.fc1(pooled), inplace=True)))


class FixedGate(nn.Module):
    """Weights in (0, 1) that are learned and then the same for every input."""

    def __init__(self, channels: int, num_streams: int) -> None:
        super().__init__()
        self.logits_TC = nn.Parameter(torch.zeros(num_streams, channels))

    def forward(self, stream: int) -> Tensor:
        """The weights of a stream: (1, C, 1, 1)."""
        return torch.sigmoid(self.logits_TC[stream])[None, :, None, None]


class Concatenation(nn.Module):
    """Streams side by side: no gate and no sum."""

    def forward(self, streams: Sequence[Tensor]) -> Tensor:
        """T times (B, C, H, W) -> (B, T C, H, W)."""
        return torch.cat(list(streams), dim=1)


def make_gate(gating: Gating, channels: int, num_streams: int) -> nn.Module | None:
    """The gate of a block; None where streams are just added."""
    if gating == "separate":
        return nn.ModuleList(ChannelGate(channels, channels) for _ in range(num_streams))
    if gating == "fixed":
        return FixedGate(channels, num_streams)
    if gating == "concat":
        return Concatenation()
    if gating == "none":
        return None
    return ChannelGate(channels, channels if gating == "shared" else 1)


def join_streams(gate: nn.Module | None, streams: Sequence[Tensor]) -> Tensor:
    """Make one of T streams (B, C, H, W), by what `make_gate` gave."""
    if isinstance(gate, Concatenation):
        joined: Tensor = gate(streams)
        return joined
    total = _weighed(gate, 0, streams[0])
    for number, stream in enumerate(streams[1:], start=1):
        total = total + _weighed(gate, number, stream)
    return total


def _weighed(gate: nn.Module | None, number: int, stream_BCHW: Tensor) -> Tensor:
    if gate is None:
        return stream_BCHW
    if isinstance(gate, FixedGate):
        weighed: Tensor = stream_BCHW * gate(number)
    elif isinstance(gate, nn.ModuleList):
        weighed = stream_BCHW * gate[number](stream_BCHW)
    else:
        weighed = stream_BCHW * gate(stream_BCHW)
    return weighed
