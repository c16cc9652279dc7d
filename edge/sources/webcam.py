"""Cameras at this machine, through OpenCV."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from edge.errors import SourceError
from edge.sources.opencv import OpenCvSource, utc_us


def _open_device(number: int) -> cv2.VideoCapture:
    # OpenCV would write a dozen lines of its own to stderr for each attempt, across the live view; ours says it in one.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(number)


class WebcamSource(OpenCvSource):
    """Reads a webcam.

    Args:
        uri: `webcam:NUMBER`.
        now_us: The clock that stamps frames, microseconds UTC.
        open_device: Opens a camera by its number.

    Raises:
        SourceError: The uri has no number, or the camera cannot be opened.
    """

    def __init__(
        self,
        uri: str,
        *,
        now_us: Callable[[], int] = utc_us,
        open_device: Callable[[int], cv2.VideoCapture] = _open_device,
    ) -> None:
        number = uri.removeprefix("webcam:")
        if not number.isdecimal():
            raise SourceError(f"{uri!r}: wanted webcam:NUMBER, such as webcam:0")
        super().__init__(
            open_device(int(number)),
            name=uri,
            now_us=now_us,
            open_hint="is it plugged in, free, and may this user read it?",
        )
