"""Makers of small valid things for the tests of edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from reid.embedding import normalise
from reid.types import Box, FloatArray, Observation

DIM = 8


def unit_vector(*numbers: float, dim: int = DIM) -> FloatArray:
    """A unit vector that begins with these numbers."""
    vector = np.zeros(dim, dtype=np.float32)
    vector[: len(numbers)] = numbers
    return normalise(vector[None])[0]


def make_observation(tracklet_id: int = 1, **changes: Any) -> Observation:
    """A valid observation; its embedding differs by tracklet."""
    values: dict[str, Any] = {
        "camid": "cam1",
        "tracklet_id": tracklet_id,
        "time_us": 1_700_000_000_000_000 + tracklet_id,
        "box": Box(10, 20, 60, 140),
        "quality": 0.5,
        "embedding": unit_vector(1.0, 0.1 * tracklet_id),
    }
    return Observation(**{**values, **changes})
