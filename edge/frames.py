"""Frames and where they come from. `edge.sources` implements `FrameSource`; `edge.capture` runs one in a thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from reid.detector import Detections
from reid.types import UInt8Array


@dataclass(frozen=True)
class Frame:
    """One picture of one camera.

    Attributes:
        image: BGR uint8 (H, W, 3).
        time_us: When it was captured, microseconds since the Unix epoch, UTC.
        index: Number of the frame in its source, from 0; dropped frames leave gaps.
        truth: Boxes that came with the picture (simulated site, MOT `det.txt`), or None.
        arrived_s: When it was read, monotonic clock; its age counts from here.
    """

    image: UInt8Array
    time_us: int
    index: int
    truth: Detections | None = None
    arrived_s: float = field(default_factory=time.monotonic, compare=False)


class FrameSource(Protocol):
    """Opened by its constructor; used by one thread."""

    @property
    def is_live(self) -> bool:
        """True when frames come by themselves: then the latest wins. False for files: then every frame counts."""

    @property
    def frame_rate_hz(self) -> float:
        """Nominal frames per second."""

    def read(self) -> Frame | None:
        """The next frame, or None at the end of a file.

        Raises:
            BrokenFrameError: This frame cannot be decoded; `read` may be called again.
            SourceError: The source broke off; nothing more will come.
        """

    def close(self) -> None:
        """Free the device, file or connection; safe to call twice."""
