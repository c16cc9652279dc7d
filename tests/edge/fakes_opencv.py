"""A camera that OpenCV might have opened."""

from __future__ import annotations

import cv2
import numpy as np


class FakeDevice:
    """Behaves like cv2.VideoCapture, and notes what it was opened with."""

    def __init__(self, *, is_open: bool = True, num_frames: int = 2, rate_hz: float = 30.0) -> None:
        self.opened_with: int | str = ""
        self.is_open, self.num_frames, self.rate_hz = is_open, num_frames, rate_hz

    def open(self, what: int | str) -> FakeDevice:
        self.opened_with = what
        return self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.is_open

    def get(self, key: int) -> float:
        return self.rate_hz if key == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.num_frames -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.num_frames >= 0 else (False, None)

    def release(self) -> None:
        self.is_open = False
