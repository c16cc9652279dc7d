from __future__ import annotations

import pytest
from fakes_opencv import FakeDevice

from edge.errors import SourceError
from edge.sources.opencv import OpenCvSource


def source_of(device: FakeDevice) -> OpenCvSource:
    return OpenCvSource(device, name="camera c1", now_us=lambda: 42, open_hint="is it on?")  # type: ignore[arg-type]


def test_frames_are_numbered_and_stamped_on_arrival() -> None:
    source = source_of(FakeDevice())
    frames = [source.read(), source.read()]
    assert [(frame.index, frame.time_us) for frame in frames if frame] == [(0, 42), (1, 42)]
    assert source.is_live


def test_a_missing_frame_is_a_break() -> None:
    with pytest.raises(SourceError, match="camera c1 sent no frame"):
        source_of(FakeDevice(num_frames=0)).read()


def test_what_does_not_open_is_released_and_refused_with_the_hint() -> None:
    device = FakeDevice(is_open=False)
    with pytest.raises(SourceError, match=r"camera c1 cannot be opened: is it on\?"):
        source_of(device)


@pytest.mark.parametrize(("claimed_hz", "rate_hz"), [(30.0, 30.0), (0.0, 25.0), (90_000.0, 25.0)])
def test_an_impossible_rate_becomes_a_plain_one(claimed_hz: float, rate_hz: float) -> None:
    assert source_of(FakeDevice(rate_hz=claimed_hz)).frame_rate_hz == rate_hz


def test_closing_frees_the_device() -> None:
    device = FakeDevice()
    source = source_of(device)
    source.close()
    source.close()
    assert not device.is_open
