"""What a camera does to the light: colour cast, exposure, gamma, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from reid.types import UInt8Array
from simulation.looks import Difficulty

_STRENGTH: dict[Difficulty, float] = {"easy": 0.4, "medium": 1.0, "hard": 1.8}
_NOISE_MARGIN_PX = 61
"""The noise of a frame is cut at a shifting place out of a picture this much larger."""


@dataclass(frozen=True, kw_only=True)
class OpticsConfig:
    """One camera's faults.

    Attributes:
        gains: Factors on blue, green and red.
        gamma: Above 1 darkens the middle tones.
        blur_px: Standard deviation of the blur.
        noise: Standard deviation of the noise, grey levels.
    """

    gains: tuple[float, float, float]
    gamma: float
    blur_px: float
    noise: float


def draw_optics(rng: np.random.Generator, *, difficulty: Difficulty) -> OpticsConfig:
    """Draw a camera's faults; the harder the site, the more cameras differ."""
    strength = _STRENGTH[difficulty]
    exposure = float(rng.uniform(-0.14, 0.12)) * strength
    warmth = float(rng.uniform(-0.11, 0.11)) * strength
    tint = float(rng.uniform(-0.04, 0.04)) * strength
    return OpticsConfig(
        gains=(1 + exposure - warmth, 1 + exposure + tint, 1 + exposure + warmth),
        gamma=float(np.exp(rng.uniform(-0.16, 0.16) * strength)),
        blur_px=0.35 + float(rng.uniform(0.0, 0.5)) * strength,
        noise=1.5 + float(rng.uniform(0.0, 3.0)) * strength,
    )


class Optics:
    """Applies one camera's faults to frames.

    Args:
        config: The faults.
        rng: Draws the noise, once.
        width_px: Of the frames.
        height_px: Of the frames.
    """

    def __init__(self, config: OpticsConfig, rng: np.random.Generator, *, width_px: int, height_px: int) -> None:
        levels = np.linspace(0.0, 1.0, 256) ** config.gamma * 255
        curves = np.clip(levels[:, None] * np.array(config.gains), 0, 255)
        self._curves = curves.astype(np.uint8).reshape(1, 256, 3)
        self._blur_px = config.blur_px
        shape = (height_px + _NOISE_MARGIN_PX, width_px + _NOISE_MARGIN_PX, 3)
        grain = cv2.GaussianBlur(rng.normal(0.0, 1.0, shape).astype(np.float32), (0, 0), 0.6)
        self._noise = np.rint(grain * (config.noise / float(grain.std()))).astype(np.int16)

    def apply(self, scene: UInt8Array, index: int) -> UInt8Array:
        """The frame that the camera would deliver of a scene.

        Args:
            scene: BGR uint8 (H, W, 3).
            index: Number of the frame; picks its noise.
        """
        height, width = scene.shape[:2]
        toned = cv2.LUT(scene, self._curves)
        soft = cv2.GaussianBlur(toned, (5, 5), self._blur_px)
        row, column = (index * 23) % _NOISE_MARGIN_PX, (index * 37 + index // 7) % _NOISE_MARGIN_PX
        noise = self._noise[row : row + height, column : column + width]
        return np.asarray(cv2.add(soft, noise, dtype=cv2.CV_8U), dtype=np.uint8)
