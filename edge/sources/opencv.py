"""What all cameras read through OpenCV have in common."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from edge.errors import SourceError
from edge.frames import Frame

_DEFAULT_RATE_HZ = 25.0
_MOST_RATE_HZ = 240.0
"""Drivers that do not know their rate claim 0, or that of a clock."""


def utc_us() -> int:
    """Now, microseconds since the Unix epoch."""
    return time.time_ns() // 1000


class OpenCvSource:
    """Reads a live camera that OpenCV has opened.

    Args:
        device: The camera.
        name: For messages, without secrets.
        now_us: The clock that stamps frames, microseconds UTC.
        open_hint: What to look at when it is not open.

    Raises:
        SourceError: It is not open.
    """

    is_live = True

    def __init__(self, device: cv2.VideoCapture, *, name: str, now_us: Callable[[], int], open_hint: str) -> None:
        self._device = device
        self._name = name
        self._now_us = now_us
        if not device.isOpened():
            device.release()
            raise SourceError(f"{name} cannot be opened: {open_hint}")
        rate_hz = float(device.get(cv2.CAP_PROP_FPS))
        self.frame_rate_hz = rate_hz if 0 < rate_hz <= _MOST_RATE_HZ else _DEFAULT_RATE_HZ
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`; never None."""
        came, image = self._device.read()
        if not came:
            raise SourceError(f"{self._name} sent no frame: it was unplugged, or its driver or stream broke off")
        index, self._next_index = self._next_index, self._next_index + 1
        return Frame(np.asarray(image, dtype=np.uint8), self._now_us(), index)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._device.release()
