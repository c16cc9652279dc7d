"""StarGAN: one generator that shows a crop as any camera of the site might have seen it.

The generator gets the picture and the wanted camera; the discriminator says of a picture how real it looks, patch by
patch, and which camera took it.

Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation", CVPR 2018,
arXiv 1711.09020. Deviation, an option: a residual generator adds to the picture, so that it starts as the picture
itself; what makes few steps enough on a machine without a GPU.

Shape letters: B batch, V cameras, H W image. Pictures are float32 RGB in [-1, 1].
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, one_hot

from reid.settings import Settings

_GENERATOR_DOWN = 2
_LEAK = 0.01


class StarganSettings(Settings):
    """Size of the networks, and how they are trained; the defaults are the paper's, at half a crop's size."""

    height_px: int = Field(default=128, ge=32)
    """Of the pictures that are made; twice their width."""
    channels: int = Field(default=64, ge=4)
    """Of the first layer of both networks."""
    num_blocks: int = Field(default=6, ge=1)
    """Residual blocks of the generator."""
    num_layers: int = Field(default=5, ge=1)
    """Halvings of the discriminator."""
    is_residual: bool = False
    """The generator adds to the picture."""
    coarse_px: int = Field(default=1, ge=1)
    """What a residual generator adds is evened out over squares of so many pixels, and smooth between them."""
    seed: int = 1
    num_steps: int = Field(default=40_000, gt=0)
    """Of the generator."""
    num_critic: int = Field(default=5, gt=0)
    """Steps of the discriminator for each of the generator's."""
    batch_size: int = Field(default=16, gt=1)
    peak_lr: float = Field(default=1e-4, gt=0)
    """Of Adam with betas 0.5 and 0.999; falls to 0 in the second half of the run."""
    camera_weight: float = Field(default=1.0, ge=0)
    """Of the camera classification."""
    reconstruction_weight: float = Field(default=10.0, ge=0)
    """Of the way back to the picture itself."""
    penalty_weight: float = Field(default=10.0, ge=0)
    """Of the gradient penalty."""
    save_every: int = Field(default=200, gt=0)
    """Steps between checkpoints, and between lines of figures."""

    @property
    def width_px(self) -> int:
        """Half the height, as crops are."""
        return self.height_px // 2


class Generator(nn.Module):
    """Two halvings, residual blocks, two doublings; instance norm throughout.

    Args:
        settings: Its size.
        num_cameras: V.
    """

    def __init__(self, settings: StarganSettings, num_cameras: int) -> None:
        super().__init__()
        self._num_cameras = num_cameras
        self._is_residual, self._coarse_px = settings.is_residual, settings.coarse_px
        width = settings.channels
        layers: list[nn.Module] = _norm_relu(nn.Conv2d(3 + num_cameras, width, 7, padding=3, bias=False), width)
        for _ in range(_GENERATOR_DOWN):
            layers += _norm_relu(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), 2 * width)
            width *= 2
        layers += [ResidualBlock(width) for _ in range(settings.num_blocks)]
        for _ in range(_GENERATOR_DOWN):
            layers += _norm_relu(nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False), width // 2)
            width //= 2
        last = nn.Conv2d(width, 3, 7, padding=3, bias=False)
        if settings.is_residual:
            nn.init.normal_(last.weight, std=1e-3)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, pictures_B3HW: Tensor, cameras_B: Tensor) -> Tensor:
        """Show pictures as cameras might have seen them.

        Args:
            pictures_B3HW: H and W are multiples of 4.
            cameras_B: int64 wanted cameras, in [0, V).

        Returns:
            (B, 3, H, W); in [-1, 1] unless the generator is residual.
        """
        wanted_BV = one_hot(cameras_B, self._num_cameras).to(pictures_B3HW)
        wanted_BVHW = wanted_BV[:, :, None, None].expand(-1, -1, *pictures_B3HW.shape[2:])
        made: Tensor = self.layers(torch.cat([pictures_B3HW, wanted_BVHW], dim=1))
        return pictures_B3HW + _coarse(made, self._coarse_px) if self._is_residual else torch.tanh(made)


class Discriminator(nn.Module):
    """Halvings with leaky ReLU, then two heads; no norm, as the gradient penalty wants it.

    Args:
        settings: Its size.
        num_cameras: V.
    """

    def __init__(self, settings: StarganSettings, num_cameras: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, width = 3, settings.channels
        for _ in range(settings.num_layers):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(_LEAK)]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers)
        left = settings.height_px >> settings.num_layers, settings.width_px >> settings.num_layers
        if 0 in left:
            raise ValueError(f"{settings.num_layers} halvings of {settings.width_px} pixels leave none: take fewer")
        self.score = nn.Conv2d(before, 1, 3, padding=1, bias=False)
        self.camera = nn.Conv2d(before, num_cameras, left, bias=False)

    def forward(self, pictures_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Judge pictures.

        Returns:
            Scores of their patches (B, 1, h, w), high for real ones; and logits of their cameras (B, V).
        """
        feats = self.layers(pictures_B3HW)
        return self.score(feats), self.camera(feats).flatten(1)


class ResidualBlock(nn.Module):
    """Two convolutions of one width beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = _norm_relu(nn.Conv2d(width, width, 3, padding=1, bias=False), width)
        second = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.InstanceNorm2d(width, affine=True)
        self.layers = nn.Sequential(*first, *second)

    def forward(self, feats_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        summed: Tensor = feats_BCHW + self.layers(feats_BCHW)
        return summed


def _coarse(change_B3HW: Tensor, side_px: int) -> Tensor:
    if side_px == 1:
        return change_B3HW
    squares = avg_pool2d(change_B3HW, side_px, ceil_mode=True)
    return interpolate(squares, size=change_B3HW.shape[2:], mode="bilinear", align_corners=False)


def _norm_relu(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(width, affine=True), nn.ReLU(inplace=True)]
