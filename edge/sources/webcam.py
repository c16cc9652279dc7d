"""Cameras at this machine, through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from edge.errors import SourceError
from edge.frames import Frame

_DEFAULT_RATE_HZ = 25.0


def _utc_us() -> int:
    return time.time_ns() // 1000


def _open_device(number: int) -> cv2.VideoCapture:
    # OpenCV would write a dozen lines of its own to stderr for each attempt, across the live view; ours says it in one.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(number)


class WebcamSource:
    """Reads a webcam.

    Args:
        uri: `webcam:NUMBER`.
        now_us: The clock that stamps frames, microseconds UTC.
        open_device: Opens a camera by its number.

    Raises:
        SourceError: The uri has no number, or the camera cannot be opened.
    """

    is_live = True

    def __init__(
        self,
        uri: str,
        *,
        now_us: Callable[[], int] = _utc_us,
        open_device: Callable[[int], cv2.VideoCapture] = _open_device,
    ) -> None:
        number = uri.removeprefix("webcam:")
        if not number.isdecimal():
            raise SourceError(f"{uri!r}: wanted webcam:NUMBER, such as webcam:0")
        self._uri = uri
        self._now_us = now_us
        self._device = open_device(int(number))
        if not self._device.isOpened():
            self._device.release()
            raise SourceError(f"{uri} cannot be opened: is it plugged in, free, and may this user read it?")
        rate_hz = float(self._device.get(cv2.CAP_PROP_FPS))
        self.frame_rate_hz = rate_hz if 0 < rate_hz <= 240 else _DEFAULT_RATE_HZ
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`; never None."""
        came, image = self._device.read()
        if not came:
            raise SourceError(f"{self._uri} sent no frame: it was unplugged or its driver failed")
        index, self._next_index = self._next_index, self._next_index + 1
        return Frame(np.asarray(image, dtype=np.uint8), self._now_us(), index)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._device.release()
