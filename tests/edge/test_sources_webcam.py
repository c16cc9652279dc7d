from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.webcam import WebcamSource


class FakeDevice:
    """Behaves like cv2.VideoCapture."""

    def __init__(self, *, is_open: bool = True, num_frames: int = 2, rate_hz: float = 30.0) -> None:
        self.number = -1
        self.is_open, self.num_frames, self.rate_hz = is_open, num_frames, rate_hz

    def open(self, number: int) -> FakeDevice:
        self.number = number
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


def open_webcam(device: FakeDevice, uri: str = "webcam:3") -> WebcamSource:
    return WebcamSource(uri, now_us=lambda: 42, open_device=device.open)  # type: ignore[arg-type]


def test_frames_are_stamped_on_arrival() -> None:
    device = FakeDevice()
    source = open_webcam(device)
    frames = [source.read(), source.read()]
    assert [(frame.index, frame.time_us) for frame in frames if frame] == [(0, 42), (1, 42)]
    assert (device.number, source.is_live, source.frame_rate_hz) == (3, True, 30.0)


def test_an_unplugged_camera_is_a_break() -> None:
    with pytest.raises(SourceError, match="webcam:3 sent no frame"):
        open_webcam(FakeDevice(num_frames=0)).read()


def test_a_camera_that_does_not_open_is_refused() -> None:
    with pytest.raises(SourceError, match="webcam:3 cannot be opened"):
        open_webcam(FakeDevice(is_open=False))


def test_a_camera_that_does_not_know_its_rate_gets_a_plain_one() -> None:
    assert open_webcam(FakeDevice(rate_hz=0.0)).frame_rate_hz == 25.0


def test_closing_frees_the_device() -> None:
    device = FakeDevice()
    source = open_webcam(device)
    source.close()
    source.close()
    assert not device.is_open


@pytest.mark.parametrize("uri", ["webcam:", "webcam:front", "webcam:-1"])
def test_a_camera_has_a_number(uri: str) -> None:
    with pytest.raises(SourceError, match="wanted webcam:NUMBER"):
        open_webcam(FakeDevice(), uri)
