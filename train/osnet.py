"""OSNet: omni-scale feature learning, a light network made for person re-identification.

A stem, three stages of two blocks, and a head that gives 512 features. Each block looks at four scales at once: four
streams of one to four stacked light 3x3 convolutions, weighed channel by channel by one gate that all four share.
Variants: `osnet` (batch norm only), `osnet_ibn` (instance norm early on, for changes of look between cameras) and
`osnet_ain` (instance norm at the places that an architecture search found). For comparisons there are networks that
differ in one thing (`COMPARED`): fewer streams, another way to join them, or a stem for small pictures.

Papers: Zhou et al., Omni-Scale Feature Learning, ICCV 2019, arXiv 1905.00953; Zhou et al., Learning Generalisable
Omni-Scale Representations, TPAMI 2021, arXiv 1910.06827 (IBN, AIN). Deviation: none.

Modules carry the names of the published checkpoints, which therefore load key by key: `conv2.0.conv2b.1.bn.weight` is
stage 2, block 0, second stream, its second convolution. `osnet_ain` checkpoints name two things differently: streams
are `conv2.{t}.layers.{i}` inside a block, and transitions are `pool2` and `pool3` beside the stages.

Shape letters: B batch, C channels, H W image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from train.gates import Gating, join_streams, make_gate
from train.network import Network, unknown_architecture

FEATURE_DIM = 512
NUM_STREAMS = 4
_BLOCK_REDUCTION = 4
_STREAM_NAMES = ("conv2a", "conv2b", "conv2c", "conv2d")

Norm = Literal["batch", "instance", "none"]
Variant = Literal["plain", "ibn", "ain"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Which OSNet.

    Attributes:
        name: For example `osnet_x0_25`.
        variant: Where instance norm stands.
        channels: Of the stem and of stages 2, 3 and 4.
        depths: Blocks of stages 2, 3 and 4.
        num_streams: T, scales that a block looks at.
        gating: How its streams are joined.
        is_for_small: A 3x3 stem that keeps the size, and no pooling after it: for pictures of 32 pixels.
    """

    name: str
    variant: Variant
    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int] = (2, 2, 2)
    num_streams: int = NUM_STREAMS
    gating: Gating = "shared"
    is_for_small: bool = False


_PREFIXES: dict[str, Variant] = {"osnet": "plain", "osnet_ibn": "ibn", "osnet_ain": "ain"}
_WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
ARCHITECTURES: dict[str, Architecture] = {
    f"{prefix}_{width}": Architecture(name=f"{prefix}_{width}", variant=_PREFIXES[prefix], channels=_WIDTHS[width])
    for prefix, width in product(_PREFIXES, _WIDTHS)
}
"""The published architectures, by name."""
_CHANGES: dict[str, dict[str, Any]] = {
    **{f"t{count}": {"num_streams": count} for count in range(1, NUM_STREAMS)},
    **{f"gate_{gating}": {"gating": gating} for gating in get_args(Gating) if gating != "shared"},
    "small": {"is_for_small": True},
    "small_deep": {"is_for_small": True, "depths": (3, 8, 6)},
}
COMPARED: dict[str, Architecture] = {
    f"osnet_{width}_{change}": replace(ARCHITECTURES[f"osnet_{width}"], name=f"osnet_{width}_{change}", **changes)
    for width, (change, changes) in product(_WIDTHS, _CHANGES.items())
}
"""Architectures that the paper compares its own with, or uses for small pictures, by name."""


def find_architecture(name: str) -> Architecture:
    """Look an architecture up.

    Raises:
        ConfigError: Unknown; the nearest name and all others are named.
    """
    known = ARCHITECTURES | COMPARED
    if name not in known:
        raise unknown_architecture(name, ARCHITECTURES)
    return known[name]


def build_osnet(architecture: str, *, num_classes: int = 0) -> OSNet:
    """Make a freshly initialised OSNet.

    Args:
        architecture: A key of `ARCHITECTURES` or `COMPARED`.
        num_classes: Identities of the training set; 0 for no classifier.

    Raises:
        ConfigError: Unknown architecture.
    """
    return OSNet(find_architecture(architecture), num_classes=num_classes)


class ConvNorm(nn.Module):
    """Convolution without bias, then norm, then ReLU unless it is linear."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        norm: Norm = "batch",
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn = _make_norm(norm, out_channels)
        self.linear = linear

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        feats = self.conv(images_BCHW)
        if self.bn is not None:
            feats = self.bn(feats)
        return feats if self.linear else relu(feats, inplace=True)

    def fold_norms(self) -> None:
        """See `train.network.FoldsNorms`."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), None


class LightConv3x3(nn.Module):
    """A 3x3 convolution in two cheap steps: 1x1 across channels (linear), then 3x3 within each; norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn: nn.BatchNorm2d | None = nn.BatchNorm2d(channels)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        feats = self.conv2(self.conv1(images_BCHW))
        if self.bn is not None:
            feats = self.bn(feats)
        return relu(feats, inplace=True)

    def fold_norms(self) -> None:
        """See `train.network.FoldsNorms`."""
        if self.bn is not None:
            self.conv2, self.bn = fuse_conv_bn_eval(self.conv2, self.bn), None


class LightConvStream(nn.Module):
    """Stacked light convolutions, under the names of `osnet_ain` checkpoints."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(LightConv3x3(channels) for _ in range(depth)))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        feats: Tensor = self.layers(images_BCHW)
        return feats


class OSBlock(nn.Module):
    """Omni-scale residual block: squeeze, up to four gated streams, expand, add the shortcut.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out; a quarter of them are used inside.
        norm_after_add: Instance norm between the addition and the last ReLU (`osnet_ibn`).
        num_streams: T.
        gating: How streams are joined.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm_after_add: bool = False,
        num_streams: int = NUM_STREAMS,
        gating: Gating = "shared",
    ) -> None:
        super().__init__()
        mid = out_channels // _BLOCK_REDUCTION
        self.conv1 = ConvNorm(in_channels, mid)
        self._streams = _STREAM_NAMES[:num_streams]
        for depth, name in enumerate(self._streams, start=1):
            stream = LightConv3x3(mid) if depth == 1 else nn.Sequential(*(LightConv3x3(mid) for _ in range(depth)))
            self.add_module(name, stream)
        self.gate = make_gate(gating, mid, num_streams)
        self.conv3 = ConvNorm(mid * num_streams if gating == "concat" else mid, out_channels, linear=True)
        self.downsample = _make_shortcut(in_channels, out_channels)
        self.IN = _make_norm("instance", out_channels) if norm_after_add else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        squeezed = self.conv1(images_BCHW)
        streams = [self.get_submodule(name)(squeezed) for name in self._streams]
        feats = self.conv3(join_streams(self.gate, streams))
        feats = feats + (images_BCHW if self.downsample is None else self.downsample(images_BCHW))
        return relu(feats if self.IN is None else self.IN(feats), inplace=True)


class AINBlock(nn.Module):
    """The block of `osnet_ain`: as `OSBlock`, under other names, and with another place for instance norm.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out; a quarter of them are used inside.
        norm_inside: Instance norm instead of batch norm after the last 1x1, before the addition.
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm_inside: bool) -> None:
        super().__init__()
        mid = out_channels // _BLOCK_REDUCTION
        self.conv1 = ConvNorm(in_channels, mid)
        self.conv2 = nn.ModuleList(LightConvStream(mid, depth) for depth in range(1, NUM_STREAMS + 1))
        self.gate = make_gate("shared", mid, NUM_STREAMS)
        self.conv3 = ConvNorm(mid, out_channels, norm="none" if norm_inside else "batch", linear=True)
        self.downsample = _make_shortcut(in_channels, out_channels)
        self.IN = _make_norm("instance", out_channels) if norm_inside else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        squeezed = self.conv1(images_BCHW)
        feats = self.conv3(join_streams(self.gate, [stream(squeezed) for stream in self.conv2]))
        if self.IN is not None:
            feats = self.IN(feats)
        feats = feats + (images_BCHW if self.downsample is None else self.downsample(images_BCHW))
        return relu(feats, inplace=True)


class OSNet(Network):
    """Images in, 512 features out.

    Args:
        architecture: Which OSNet.
        num_classes: Identities of the training set; 0 for no classifier.
    """

    def __init__(self, architecture: Architecture, *, num_classes: int = 0) -> None:
        super().__init__(architecture, feature_dim=FEATURE_DIM)
        self.architecture: Architecture = architecture
        stem, *_, last = architecture.channels
        stem_norm: Norm = "batch" if architecture.variant == "plain" else "instance"
        small = architecture.is_for_small
        self.conv1 = ConvNorm(3, stem, kernel=3 if small else 7, stride=1 if small else 2, norm=stem_norm)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.pool2: nn.Module = nn.Identity()
        self.pool3: nn.Module = nn.Identity()
        if architecture.variant == "ain":
            self.conv2, self.conv3, self.conv4 = _make_ain_stages(architecture)
            self.pool2, self.pool3 = (_make_transition(channels) for channels in architecture.channels[1:3])
        else:
            self.conv2, self.conv3, self.conv4 = _make_stages(architecture)
        self.conv5 = ConvNorm(last, last)
        self.fc = nn.Sequential(nn.Linear(last, FEATURE_DIM), nn.BatchNorm1d(FEATURE_DIM), nn.ReLU(inplace=True))
        self.apply(_initialise)
        self.reset_classifier(num_classes)

    @property
    def pixel_conv(self) -> nn.Conv2d:
        """The stem's."""
        return self.conv1.conv

    def fold_norms(self) -> None:
        """See `train.network.FoldsNorms`."""
        linear, norm, _ = self.fc
        if isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            self.fc[0], self.fc[1] = fuse_linear_bn_eval(linear, norm), nn.Identity()

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Compute features.

        Args:
            images_B3HW: float (B, 3, 256, 128), RGB, normalised with ImageNet's mean and deviation.

        Returns:
            (B, 512), after batch norm and ReLU and so not negative; not of unit norm. The same in training and test.
        """
        feats = self.maxpool(self.conv1(images_B3HW))
        feats = self.pool2(self.conv2(feats))
        feats = self.pool3(self.conv3(feats))
        feats = self.conv5(self.conv4(feats))
        feats_BD: Tensor = self.fc(adaptive_avg_pool2d(feats, 1).flatten(1))
        return feats_BD


def _make_norm(norm: Norm, channels: int) -> nn.Module | None:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=True) if norm == "instance" else None


def _make_shortcut(in_channels: int, out_channels: int) -> ConvNorm | None:
    return None if in_channels == out_channels else ConvNorm(in_channels, out_channels, linear=True)


def _make_transition(channels: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2))


def _make_stages(architecture: Architecture) -> list[nn.Sequential]:
    stages: list[nn.Sequential] = []
    last = len(architecture.depths) - 1
    for number, depth in enumerate(architecture.depths):
        before, channels = architecture.channels[number : number + 2]
        blocks = [
            OSBlock(
                channels if place else before,
                channels,
                norm_after_add=architecture.variant == "ibn" and number == 0,
                num_streams=architecture.num_streams,
                gating=architecture.gating,
            )
            for place in range(depth)
        ]
        stages.append(nn.Sequential(*blocks, *([] if number == last else [_make_transition(channels)])))
    return stages


def _make_ain_stages(architecture: Architecture) -> list[nn.Sequential]:
    stem, two, three, four = architecture.channels
    return [
        nn.Sequential(AINBlock(stem, two, norm_inside=True), AINBlock(two, two, norm_inside=True)),
        nn.Sequential(AINBlock(two, three, norm_inside=False), AINBlock(three, three, norm_inside=True)),
        nn.Sequential(AINBlock(three, four, norm_inside=True), AINBlock(four, four, norm_inside=False)),
    ]


def _initialise(module: nn.Module) -> None:
    """Kaiming for convolutions, N(0, 0.01) for linear layers, zero biases; norms are the identity from the start."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
