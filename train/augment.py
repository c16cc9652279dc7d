"""Random changes to uint8 crops before they become floats: flip, shift, colour, erase.

A batch is uint8 (B, H, W, 3) BGR. All randomness comes from the generator that is handed in, so a seed fixes a batch.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import AnyArray, UInt8Array

MEAN_PIXEL_BGR = (104, 116, 124)
"""ImageNet mean: what the network sees as zero. Fills what is padded or erased."""
_NUM_ERASE_TRIES = 10


class AugmentSettings(Settings):
    """How far training crops are changed. Zero switches a change off."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right flip."""
    pad_share: float = Field(default=0.04, ge=0, le=0.5)
    """A crop is shifted by up to this share of its height, both ways; the border is filled with the mean pixel."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    """All channels are scaled by a factor within 1 ± this."""
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Distances to mid-grey are scaled by a factor within 1 ± this."""
    colour_cast: float = Field(default=0.08, ge=0, lt=1)
    """Each channel alone is scaled by a factor within 1 ± this. Small: the colour of clothes tells people apart."""
    erase: float = Field(default=0.5, ge=0, le=1)
    """Probability that a rectangle is overwritten (Zhong et al., Random Erasing, arXiv 1708.04896)."""
    erase_most: float = Field(default=0.4, gt=0, le=1)
    """Largest share of the crop that the rectangle covers; the least is 0.02."""


def resize_batch(crops: UInt8Array, *, height_px: int, width_px: int) -> UInt8Array:
    """Shrink a batch for early training at low resolution; the batch itself where the size is already right."""
    if crops.shape[1:3] == (height_px, width_px):
        return crops
    small = np.empty((len(crops), height_px, width_px, 3), dtype=np.uint8)
    for row, crop in enumerate(crops):
        cv2.resize(crop, (width_px, height_px), dst=small[row], interpolation=cv2.INTER_AREA)
    return small


def augment(crops: UInt8Array, settings: AugmentSettings, rng: np.random.Generator) -> UInt8Array:
    """Change a batch at random.

    Args:
        crops: uint8 (B, H, W, 3) BGR; left as it is.
        settings: How far.
        rng: Source of all randomness.

    Returns:
        A new uint8 (B, H, W, 3) BGR.
    """
    changed = shift(crops, settings.pad_share, rng)
    flip(changed, settings.flip, rng)
    jitter_colours(changed, settings, rng)
    erase(changed, settings, rng)
    return changed


def flip(crops: UInt8Array, probability: float, rng: np.random.Generator) -> None:
    """Mirror some crops left to right, in place."""
    chosen = np.flatnonzero(rng.random(len(crops)) < probability)
    crops[chosen] = crops[chosen, :, ::-1]


def shift(crops: UInt8Array, share: float, rng: np.random.Generator) -> UInt8Array:
    """Move each crop by up to `share` of its height in x and y; what comes in from outside is the mean pixel."""
    num_crops, height, width, _ = crops.shape
    pad = round(share * height)
    shifted = np.empty_like(crops)
    offsets = rng.integers(-pad, pad + 1, size=(num_crops, 2))
    for source, target, (down, right) in zip(crops, shifted, offsets.tolist(), strict=True):
        target[:] = MEAN_PIXEL_BGR
        target[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = source[
            max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)
        ]
    return shifted


def jitter_colours(crops: UInt8Array, settings: AugmentSettings, rng: np.random.Generator) -> None:
    """Change brightness, contrast and colour cast of each crop, in place, through one 256-entry table per channel."""
    tables = colour_tables(len(crops), settings, rng)
    for crop, table in zip(crops, tables, strict=True):
        cv2.LUT(crop, table, dst=crop)


def colour_tables(num_crops: int, settings: AugmentSettings, rng: np.random.Generator) -> UInt8Array:
    """Draw a table per crop.

    Returns:
        uint8 (B, 1, 256, 3): entry v of channel c is what value v becomes.
    """
    brightness = _around_one(settings.brightness, (num_crops, 1, 1), rng)
    contrast = _around_one(settings.contrast, (num_crops, 1, 1), rng)
    cast = _around_one(settings.colour_cast, (num_crops, 1, 3), rng)
    levels = np.arange(256.0)[None, :, None] * brightness * cast
    tables = 127.5 + (levels - 127.5) * contrast
    return np.clip(np.rint(tables), 0, 255).astype(np.uint8)[:, None]


def erase(crops: UInt8Array, settings: AugmentSettings, rng: np.random.Generator) -> None:
    """Overwrite a rectangle of some crops with the mean pixel, in place."""
    _, height, width, _ = crops.shape
    for row in np.flatnonzero(rng.random(len(crops)) < settings.erase):
        for _ in range(_NUM_ERASE_TRIES):
            area = rng.uniform(0.02, settings.erase_most) * height * width
            aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
            tall, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < tall < height and 0 < wide < width:
                top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
                crops[row, top : top + tall, left : left + wide] = MEAN_PIXEL_BGR
                break


def _around_one(spread: float, shape: tuple[int, ...], rng: np.random.Generator) -> AnyArray:
    return rng.uniform(1 - spread, 1 + spread, size=shape)
