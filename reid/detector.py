"""Detectors: a frame in, boxes of persons out.

One interface for every model; `reid.detector_onnx` and `reid.detector_hog` implement it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reid.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class Detections:
    """Persons found in one frame.

    Attributes:
        xyxy: float32 (N, 4), pixels of the full frame.
        scores: float32 (N,), in [0, 1].
    """

    xyxy: FloatArray
    scores: FloatArray

    @classmethod
    def none(cls) -> Detections:
        """No persons."""
        return cls(np.empty((0, 4), dtype=np.float32), np.empty(0, dtype=np.float32))

    def __len__(self) -> int:
        """Number of persons."""
        return len(self.scores)


class Detector(Protocol):
    """What every detector offers. One thread at a time."""

    def detect(self, frame: UInt8Array) -> Detections:
        """Find persons.

        Args:
            frame: BGR uint8 (H, W, 3).

        Returns:
            Boxes clipped to the frame, best score first.

        Raises:
            DetectorError: The model failed on this frame.
        """
