"""The style that a run's settings name."""

from __future__ import annotations

from pathlib import Path

from reid.types import IntArray, UInt8Array
from train.errors import StyleError
from train.styles.colour import ColourStyle
from train.styles.fourier import FourierStyle
from train.styles.style import Style, StyleSettings
from train.styles.transferred import TransferredStyle


def make_style(settings: StyleSettings, crops: UInt8Array, cameras: IntArray) -> Style | None:
    """Make it for the crops of a site.

    Args:
        settings: Which style.
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V), each used.

    Returns:
        None where the settings want none.

    Raises:
        StyleError: The folder of a trained style cannot be used.
    """
    if settings.kind == "none":
        return None
    if settings.kind == "colour":
        return ColourStyle(crops, cameras)
    if settings.kind == "fourier":
        return FourierStyle(crops, cameras, band=settings.band)
    if not settings.folder:
        raise StyleError(
            "camera invariance of this run wants a trained style: make one with 'osprey-train style-transfer' "
            "and give its folder by --styles"
        )
    return TransferredStyle(Path(settings.folder), crops, cameras)
