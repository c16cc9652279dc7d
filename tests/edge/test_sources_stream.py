from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes_rtsp import RtspCamera
from fakes_video import HEIGHT_PX, WIDTH_PX

from edge.capture import Capture
from edge.errors import SourceError
from edge.sources.stream import StreamSource
from reid.retry import Backoff


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    camera = RtspCamera(num_frames=60, login="me:secret")
    yield camera
    camera.close()


def address(camera: RtspCamera, login: str = "me:secret@") -> str:
    return f"rtsp://{login}127.0.0.1:{camera.port}/stream1"


def test_frames_of_a_camera_are_stamped_on_arrival(camera: RtspCamera) -> None:
    source = StreamSource(address(camera), now_us=lambda: 42)
    frames = [source.read(), source.read()]
    source.close()
    assert [(frame.index, frame.time_us) for frame in frames if frame] == [(0, 42), (1, 42)]
    assert frames[0] is not None
    assert frames[0].image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert source.is_live


def test_the_end_of_a_stream_is_a_break(camera: RtspCamera) -> None:
    source = StreamSource(address(camera))
    ending = r"camera rtsp://\*\*\*@127.0.0.1:\d+/stream1 (ended its stream|broke off)"
    with pytest.raises(SourceError, match=ending):
        list(iter(source.read, None))
    source.close()


def test_a_refused_login_is_named_without_the_password(camera: RtspCamera) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened: .*401") as refused:
        StreamSource(address(camera, "me:wrongword@"))
    assert "wrongword" not in str(refused.value)


def test_a_camera_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@127.0.0.1:1/s cannot be opened: Connection refused"):
        StreamSource("rtsp://me:secret@127.0.0.1:1/s")


def test_a_camera_that_hangs_up_is_called_again(camera: RtspCamera) -> None:
    capture = Capture(
        lambda: StreamSource(address(camera)), camid="c1", is_live=True, backoff=Backoff(first_s=0.0, most_s=0.0)
    )
    while capture.counts.reconnects < 2:
        capture.next_frame(1.0)
    capture.stop()
    assert camera.num_clients >= 3
