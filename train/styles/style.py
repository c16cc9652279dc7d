"""What restyles a site's crops: shows them as another of its cameras might have seen them.

    colour    brightness, contrast and tint of a camera, as means and deviations in CIELAB
    fourier   strength of the coarse patterns of a camera, as amplitudes of low frequencies
    stargan   a generator trained on the site's cameras (`train.styles.stargan`), whose pictures lie in a folder

The two light ways move a crop by the difference between two cameras' averages, never by those of another crop: what is
particular to a person, such as dark clothes, stays. Cameras are numbered 0 … V-1 here, without gaps.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import IntArray, UInt8Array

StyleKind = Literal["none", "colour", "fourier", "stargan"]

MOST_CROPS = 512
"""Crops of a camera that its averages are taken from, evenly spread, at most."""


class StyleSettings(Settings):
    """How crops are shown in the style of other cameras."""

    kind: StyleKind = "none"
    folder: str = ""
    """For `stargan`: what `osprey-train style-transfer` left."""
    band: float = Field(default=0.05, gt=0, le=0.5)
    """For `fourier`: highest frequency that is changed, in cycles a pixel of the shorter side."""


class Style(Protocol):
    """Crops of one site in the style of its cameras."""

    def restyle(self, rows: IntArray, cameras: IntArray) -> UInt8Array:
        """Show crops as other cameras might have seen them.

        Args:
            rows: (B,) int64 crops of the site.
            cameras: (B,) int64 wanted camera of each; where it is the crop's own, the crop comes back as it is.

        Returns:
            A new uint8 (B, H, W, 3) BGR.
        """


def crops_of_cameras(crops: UInt8Array, cameras: IntArray, *, most: int = MOST_CROPS) -> list[UInt8Array]:
    """Some crops of each camera, evenly spread over all that it has.

    Args:
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V), each used.
        most: Crops of a camera.
    """
    chosen = []
    for camera in range(int(cameras.max()) + 1):
        rows = np.flatnonzero(cameras == camera)
        chosen.append(np.array(crops[rows[:: max(1, -(-len(rows) // most))]]))
    return chosen
