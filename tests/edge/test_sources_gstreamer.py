from __future__ import annotations

import shlex

import cv2
import pytest
from fakes_opencv import FakeDevice
from gst_parser import GstParser

from edge.errors import SourceError
from edge.sources.gstreamer import GstreamerSource, pipeline

HAS_GSTREAMER = cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)


def elements(description: str) -> list[list[str]]:
    """Name and properties of each element; GStreamer's notation quotes as a POSIX shell does."""
    stages: list[list[str]] = [[]]
    for word in shlex.split(description):
        if word == "!":
            stages.append([])
        else:
            stages[-1].append(word)
    return stages


def open_camera(device: FakeDevice, uri: str = "gst-h264+rtsp://me:secret@10.0.0.1/s1") -> GstreamerSource:
    return GstreamerSource(uri, now_us=lambda: 42, open_pipeline=device.open)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_the_pipeline_decodes_on_the_chip_and_keeps_the_latest_picture_only(codec: str) -> None:
    stages = elements(pipeline("rtsp://10.0.0.1/s1", codec=codec))
    assert [stage[0] for stage in stages] == [
        *(
            "rtspsrc",
            "application/x-rtp,media=video",
            f"rtp{codec}depay",
            f"{codec}parse",
            "nvv4l2decoder",
            "nvvidconv",
        ),
        *("video/x-raw,format=BGRx", "videoconvert", "video/x-raw,format=BGR", "appsink"),
    ]
    assert stages[0][1:] == ["location=rtsp://10.0.0.1/s1", "protocols=tcp", "latency=100", "drop-on-latency=true"]
    assert stages[-1][1:] == ["max-buffers=1", "drop=true", "sync=false"]


AWKWARD = pytest.mark.parametrize(
    "address",
    ["rtsp://me:a ! b@h/1", 'rtsp://me:a"b@h/1', "rtsp://me:a\\b@h/1", "rtsp://h/1 ! filesink location=/x"],
    ids=["blank", "quote", "backslash", "another-element"],
)


@AWKWARD
def test_an_address_stays_one_property_whatever_is_in_it(address: str) -> None:
    stages = elements(pipeline(address, codec="h264"))
    assert len(stages) == 10
    assert stages[0][1] == f"location={address}"


@AWKWARD
def test_gstreamer_itself_reads_the_address_as_it_is(address: str) -> None:
    # The elements that only a Jetson has, and their memory, are left out.
    portable = pipeline(address, codec="h264").replace("nvv4l2decoder ! nvvidconv ! video/x-raw,format=BGRx ! ", "")
    portable = portable.replace("rtspsrc ", "rtspsrc name=camera ").split(" ! rtph264depay")[0] + " ! fakesink"
    assert GstParser().location(portable) == address


def test_the_address_goes_into_the_pipeline_and_frames_are_stamped_on_arrival() -> None:
    device = FakeDevice()
    source = open_camera(device, "gst-h265+rtsps://me:secret@10.0.0.1/s1")
    assert device.opened_with == pipeline("rtsps://me:secret@10.0.0.1/s1", codec="h265")
    frames = [source.read(), source.read()]
    assert [(frame.index, frame.time_us) for frame in frames if frame] == [(0, 42), (1, 42)]
    assert (source.is_live, source.frame_rate_hz) == (True, 30.0)


def test_a_stream_that_breaks_off_is_a_break_named_without_the_password() -> None:
    with pytest.raises(SourceError, match=r"camera gst-h264\+rtsp://\*\*\*@10\.0\.0\.1/s1 sent no frame"):
        open_camera(FakeDevice(num_frames=0)).read()


def test_a_camera_that_does_not_open_is_named_without_the_password() -> None:
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@10\.0\.0\.1/s1 cannot be opened: .*send h264"):
        open_camera(FakeDevice(is_open=False))


@pytest.mark.parametrize("uri", ["rtsp://h/1", "gst-mjpeg+rtsp://h/1", "gst-h264+http://h/1"])
def test_another_form_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match=r"wanted gst-h264\+rtsp://"):
        GstreamerSource(uri)


@pytest.mark.skipif(HAS_GSTREAMER, reason="this OpenCV has GStreamer")
def test_an_opencv_without_gstreamer_is_named_with_the_way_out() -> None:
    with pytest.raises(SourceError, match=r"knows no GStreamer: use the system's OpenCV.*deploy/jetson"):
        GstreamerSource("gst-h264+rtsp://127.0.0.1:1/s")
