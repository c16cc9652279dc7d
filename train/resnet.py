"""ResNet-50, the network that the papers on adaptation report on; its features are the pooled last stage.

The last stage keeps its resolution (stride 1), which re-identification gains from. Variants: `_gem` pools by a
generalised mean instead of the plain one, `_neck` ends in a batch norm whose bias stays zero.

Papers: He et al., Deep Residual Learning, CVPR 2016, arXiv 1512.03385 (stride on the 3x3, as public weights have it);
Sun et al., PCB, ECCV 2018, arXiv 1711.09349 (stride 1); Radenovic et al., Fine-tuning CNN Image Retrieval, TPAMI 2019,
arXiv 1711.02512 (generalised mean); Luo et al., Bag of Tricks, arXiv 1903.07071 (neck).

Modules carry the names of public ImageNet weights, which therefore load key by key: `layer1.0.conv2.weight`.

Shape letters: B batch, C channels, H W image, D feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from train.network import Network

Pooling = Literal["avg", "gem"]

_EXPANSION = 4
_LAST_STAGE = 8
"""Channels inside a block of the last stage, as a multiple of the stem's."""
_IMAGENET_CLASSIFIER = "fc."
_GEM_POWER = 3.0
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, kw_only=True)
class ResNetArchitecture:
    """Which ResNet.

    Attributes:
        name: For example `resnet50_gem`.
        pooling: Plain or generalised mean over the last stage.
        neck: Whether a batch norm follows.
        depths: Blocks of each stage.
        width: Channels of the stem; the last stage has 32 times as many.
    """

    name: str
    pooling: Pooling = "avg"
    neck: bool = False
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64

    @property
    def feature_dim(self) -> int:
        """D: channels of the last stage."""
        return self.width * _LAST_STAGE * _EXPANSION


_POOLINGS: dict[str, Pooling] = {"": "avg", "_gem": "gem"}
_NECKS = {"": False, "_neck": True}
RESNETS: dict[str, ResNetArchitecture] = {
    f"resnet50{pooling}{neck}": ResNetArchitecture(
        name=f"resnet50{pooling}{neck}", pooling=_POOLINGS[pooling], neck=_NECKS[neck]
    )
    for pooling, neck in product(_POOLINGS, _NECKS)
}
"""Every ResNet that `train.architectures.build_network` knows, by name."""


class Bottleneck(nn.Module):
    """Residual block: 1x1 down, 3x3, 1x1 up, add the shortcut.

    Args:
        in_channels: Channels that come in.
        mid_channels: Channels of the 3x3; four times as many go out.
        stride: Of the 3x3 and of the shortcut.
    """

    def __init__(self, in_channels: int, mid_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = mid_channels * _EXPANSION
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(mid_channels)
        self.conv2 = nn.Conv2d(mid_channels, mid_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(mid_channels)
        self.conv3 = nn.Conv2d(mid_channels, out_channels, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        feats = relu(self.bn1(self.conv1(images_BCHW)), inplace=True)
        feats = relu(self.bn2(self.conv2(feats)), inplace=True)
        feats = self.bn3(self.conv3(feats))
        return relu(feats + (images_BCHW if self.downsample is None else self.downsample(images_BCHW)), inplace=True)

    def fold_norms(self) -> None:
        """See `train.network.FoldsNorms`."""
        self.conv1, self.bn1 = _folded(self.conv1, self.bn1)
        self.conv2, self.bn2 = _folded(self.conv2, self.bn2)
        self.conv3, self.bn3 = _folded(self.conv3, self.bn3)
        if self.downsample is not None:
            shortcut, norm = self.downsample
            assert isinstance(shortcut, nn.Conv2d)
            self.downsample[0], self.downsample[1] = _folded(shortcut, norm)


class AveragePool(nn.Module):
    """The mean over height and width."""

    def forward(self, feats_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        return feats_BCHW.mean(dim=(2, 3))


class GeneralisedMeanPool(nn.Module):
    """The mean of powers over height and width, and its root: between mean and maximum, by a learned power."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.full((1,), _GEM_POWER))

    def forward(self, feats_BCHW: Tensor) -> Tensor:
        """(B, C, H, W), not negative -> (B, C)."""
        # Powers of shares of the largest do not overflow in half precision, and the result is the same.
        largest_BC11 = feats_BCHW.detach().amax(dim=(2, 3), keepdim=True).clamp(min=_LEAST_SHARE)
        shares = (feats_BCHW / largest_BC11).clamp(min=_LEAST_SHARE)
        mean_BC = shares.pow(self.power).mean(dim=(2, 3))
        # The root as a division by the parameter: one over it would be a constant of the exported graph.
        return largest_BC11.flatten(1) * (mean_BC.log() / self.power).exp()


class ChannelScale(nn.Module):
    """What a batch norm does in evaluation, in two operations.

    Args:
        norm: The batch norm.
    """

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale_D = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        self.weight = nn.Parameter(scale_D)
        self.bias = nn.Parameter(norm.bias.detach() - norm.running_mean * scale_D)

    def forward(self, feats_BD: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return feats_BD * self.weight + self.bias


class ResNet(Network):
    """Images in, 2048 features out.

    Args:
        architecture: Which ResNet.
        num_classes: Identities of the training set; 0 for no classifier.
    """

    def __init__(self, architecture: ResNetArchitecture, *, num_classes: int = 0) -> None:
        super().__init__(architecture, feature_dim=architecture.feature_dim)
        width, depths = architecture.width, architecture.depths
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _make_stage(width, width, depths[0], stride=1)
        self.layer2 = _make_stage(width * 4, width * 2, depths[1], stride=2)
        self.layer3 = _make_stage(width * 8, width * 4, depths[2], stride=2)
        self.layer4 = _make_stage(width * 16, width * 8, depths[3], stride=1)
        self.pooling = AveragePool() if architecture.pooling == "avg" else GeneralisedMeanPool()
        self.neck: nn.Module = _make_neck(self.feature_dim) if architecture.neck else nn.Identity()
        self.apply(_initialise)
        self.reset_classifier(num_classes)

    @property
    def pixel_conv(self) -> nn.Conv2d:
        """The stem's."""
        return self.conv1

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """See `train.network.Network`; without a neck features are not negative."""
        feats = self.maxpool(relu(self.bn1(self.conv1(images_B3HW)), inplace=True))
        feats = self.layer4(self.layer3(self.layer2(self.layer1(feats))))
        feats_BD: Tensor = self.neck(self.pooling(feats))
        return feats_BD

    def fold_norms(self) -> None:
        """See `train.network.FoldsNorms`. A neck, which has no layer before it, becomes a scale and a shift."""
        self.conv1, self.bn1 = _folded(self.conv1, self.bn1)
        if isinstance(self.neck, nn.BatchNorm1d):
            self.neck = ChannelScale(self.neck)


def without_imagenet_head(state: Mapping[str, Tensor], architecture: ResNetArchitecture) -> dict[str, Tensor]:
    """Weights of an ImageNet classifier as those of a feature extractor.

    Args:
        state: Weights by name; returned as they are where no ImageNet classifier is among them.
        architecture: What they are for; its power and its neck, which ImageNet weights lack, start fresh.
    """
    if f"{_IMAGENET_CLASSIFIER}weight" not in state:
        return dict(state)
    fresh: dict[str, Tensor] = {}
    if architecture.pooling == "gem":
        fresh |= {f"pooling.{name}": weight for name, weight in GeneralisedMeanPool().state_dict().items()}
    if architecture.neck:
        fresh |= {f"neck.{name}": weight for name, weight in _make_neck(architecture.feature_dim).state_dict().items()}
    return fresh | {name: weight for name, weight in state.items() if not name.startswith(_IMAGENET_CLASSIFIER)}


def _make_stage(in_channels: int, mid_channels: int, depth: int, *, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, mid_channels, stride=stride)
    rest = (Bottleneck(mid_channels * _EXPANSION, mid_channels) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)


def _make_neck(dim: int) -> nn.BatchNorm1d:
    neck = nn.BatchNorm1d(dim)
    neck.bias.requires_grad_(False)
    return neck


def _folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution with the norm after it inside, and what stands in the norm's place."""
    if not isinstance(norm, nn.BatchNorm2d):
        return conv, norm
    return fuse_conv_bn_eval(conv, norm), nn.Identity()


def _initialise(module: nn.Module) -> None:
    """Kaiming for convolutions; norms are the identity from the start."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
