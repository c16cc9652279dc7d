"""Made-up people as a dark and a bright camera see them, in turn."""

from __future__ import annotations

import numpy as np
from fakes_dataset import person_crop

from reid.types import IntArray, UInt8Array

_GAINS = (0.6, 1.1)


def _crop(row: int, rng: np.random.Generator) -> UInt8Array:
    seen = person_crop(1 + row // 2, rng).astype(np.float64) * _GAINS[row % 2]
    return np.clip(seen, 0, 255).astype(np.uint8)


_RNG = np.random.default_rng(1)
CROPS: UInt8Array = np.stack([_crop(row, _RNG) for row in range(80)])
"""uint8 (80, 64, 32, 3) BGR: rows 2 p and 2 p + 1 show one person."""
CAMERAS: IntArray = np.arange(80, dtype=np.int64) % 2
