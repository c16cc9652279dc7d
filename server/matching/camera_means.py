"""What people of one camera have in common, and how much of it to take away before they are compared.

Light and angle make people of one camera alike, and people of two cameras different. The difference of a camera's mean
to the mean of all is taken from each embedding; of a camera that saw few people only a part, since their mean is about
them more than about the camera. Means are fixed until there is notably more to learn from, so that persons need not be
compared anew all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid.types import FloatArray

_GROWTH = 1.05
"""Means are taken again when this many times more was seen."""


@dataclass(slots=True)
class _Seen:
    """Of one camera: weighted sum of embeddings (D,), the weight, and how many persons."""

    vector_sum: FloatArray
    weight: float = 0.0
    num_persons: int = 0


class CameraMeans:
    """Means of all cameras of one space.

    Args:
        prior: A camera that saw this many persons has half of its own mean taken away; with more, more.

    Attributes:
        version: Rises whenever offsets change.
    """

    def __init__(self, *, prior: float) -> None:
        self.version = 0
        self._prior = prior
        self._seen: dict[int, _Seen] = {}
        self._weight = 0.0
        self._refresh_weight = 0.0
        self._offsets: dict[int, FloatArray] = {}
        self._trusts: dict[int, float] = {}

    def add(self, camera_key: int, vector: FloatArray, weight: float, *, new_persons: int) -> None:
        """Count a weighted embedding; negative values take back what was counted."""
        seen = self._seen.get(camera_key)
        if seen is None:
            seen = self._seen[camera_key] = _Seen(np.zeros_like(vector))
        seen.vector_sum += vector
        seen.weight += weight
        seen.num_persons += new_persons
        self._weight += weight

    def refresh(self) -> None:
        """Take the means again, if notably more was seen than when they were last taken."""
        if self._weight < self._refresh_weight or not self._seen:
            return
        self._refresh_weight = max(1.0, self._weight) * _GROWTH
        self.version += 1
        cameras = {key: seen for key, seen in self._seen.items() if seen.weight > 0 and seen.num_persons > 0}
        if not cameras:
            return
        mean_D = np.sum([seen.vector_sum for seen in cameras.values()], axis=0) / np.float32(
            sum(seen.weight for seen in cameras.values())
        )
        self._trusts = {key: seen.num_persons / (seen.num_persons + self._prior) for key, seen in cameras.items()}
        self._offsets = {
            key: np.float32(self._trusts[key]) * (seen.vector_sum / np.float32(seen.weight) - mean_D)
            for key, seen in cameras.items()
        }

    def turn(self, matrix: FloatArray) -> None:
        """Be in another space, where rows of this one times `matrix` (D, D) lie."""
        for seen in self._seen.values():
            seen.vector_sum = seen.vector_sum @ matrix
        self._offsets = {key: offset @ matrix for key, offset in self._offsets.items()}
        self.version += 1

    def offset(self, camera_key: int) -> FloatArray | float:
        """What to take from a unit embedding of a camera: (D,) float32, or 0 while nothing is known."""
        return self._offsets.get(camera_key, 0.0)

    def trust(self, camera_key: int) -> float:
        """Share of the camera's own mean that is taken away, in [0, 1)."""
        return self._trusts.get(camera_key, 0.0)
