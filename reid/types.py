"""The nouns that edge, server and train share.

Boxes are `xyxy` in pixels of the full frame. Frames are BGR uint8 (H, W, 3). Times are integer microseconds since the
Unix epoch, UTC (`time_us`). Shape letters: B batch, N samples, D embedding, Q query, G gallery, H W image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reid.errors import ConfigError, ObservationError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

PROTOCOL_VERSION = 1
"""Version of the wire; edge and server compare it at hello."""


class Box(NamedTuple):
    """An axis-aligned box in pixels of the full frame, x1 < x2 and y1 < y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width_px(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height_px(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1

    @property
    def area_px(self) -> float:
        """Area in square pixels; 0 for a degenerate box."""
        return max(0.0, self.width_px) * max(0.0, self.height_px)

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, in [0, 1]."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        intersection = width * height
        return intersection / (self.area_px + other.area_px - intersection)


@dataclass(frozen=True, slots=True)
class Observation:
    """One embedded crop of one person, as an edge sends it and a server stores it.

    Attributes:
        camid: The camera.
        tracklet_id: The tracklet; chosen by the edge, never used twice by it.
        time_us: When the frame was captured, microseconds since the Unix epoch, UTC.
        box: Where in the frame.
        quality: In [0, 1]; weight of this crop in the mean of its tracklet.
        embedding: (D,) float32, unit norm.
        is_last: The tracklet has ended; no observation of it follows.
    """

    camid: str
    tracklet_id: int
    time_us: int
    box: Box
    quality: float
    embedding: FloatArray
    is_last: bool = False


_LARGEST_FRAME_PX = 1e5


def check_storable(box: Box, quality: float) -> None:
    """Refuse what no server stores; edges ask before they spool, servers before they store.

    Raises:
        ObservationError: The quality is outside [0, 1], or the box is empty, not finite or larger than any frame.
    """
    if not 0.0 <= quality <= 1.0:
        raise ObservationError(f"quality {quality}, wanted 0 to 1")
    if not (0.0 < box.width_px < _LARGEST_FRAME_PX and 0.0 < box.height_px < _LARGEST_FRAME_PX):
        raise ObservationError(f"box {tuple(box)} is empty or not finite")


class SpooledObservation(NamedTuple):
    """An observation with the sequence number that its edge's spool gave it."""

    seq: int
    observation: Observation


@dataclass(frozen=True, slots=True)
class ReleaseRef:
    """Names one release; embeddings are comparable exactly when their spaces are equal."""

    name: str
    version: str
    space: str

    def __str__(self) -> str:
        """Name, version and space in one word."""
        return f"{self.name} {self.version} ({self.space})"


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_name(name: str, *, what: str) -> str:
    """Return a camera's or edge's name if it is fit for file names, logs and metrics.

    Raises:
        ConfigError: It is not 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what} {name!r}: use 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit")
    return name
