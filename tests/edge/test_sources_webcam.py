from __future__ import annotations

import pytest
from fakes_opencv import FakeDevice

from edge.errors import SourceError
from edge.sources.webcam import WebcamSource


def open_webcam(device: FakeDevice, uri: str = "webcam:3") -> WebcamSource:
    return WebcamSource(uri, now_us=lambda: 42, open_device=device.open)  # type: ignore[arg-type]


def test_frames_are_stamped_on_arrival() -> None:
    device = FakeDevice()
    source = open_webcam(device)
    frames = [source.read(), source.read()]
    assert [(frame.index, frame.time_us) for frame in frames if frame] == [(0, 42), (1, 42)]
    assert (device.opened_with, source.is_live, source.frame_rate_hz) == (3, True, 30.0)


def test_an_unplugged_camera_is_a_break() -> None:
    with pytest.raises(SourceError, match="webcam:3 sent no frame"):
        open_webcam(FakeDevice(num_frames=0)).read()


def test_a_camera_that_does_not_open_is_refused() -> None:
    with pytest.raises(SourceError, match="webcam:3 cannot be opened"):
        open_webcam(FakeDevice(is_open=False))


@pytest.mark.parametrize("uri", ["webcam:", "webcam:front", "webcam:-1"])
def test_a_camera_has_a_number(uri: str) -> None:
    with pytest.raises(SourceError, match="wanted webcam:NUMBER"):
        open_webcam(FakeDevice(), uri)
