"""Network cameras on a Jetson: GStreamer receives, the chip's own decoder decodes, OpenCV takes the latest picture.

Needs an OpenCV with GStreamer, which JetPack's and Ubuntu's are and pip's is not; see deploy/jetson. Elsewhere
`edge.sources.stream` reads the same cameras.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2

from edge.errors import SourceError
from edge.sources.opencv import OpenCvSource, utc_us
from edge.sources.uri import GSTREAMER_FORM, gstreamer_parts, masked

_LATENCY_MS = 100
"""Packets later than this are dropped, so that a bad network costs pictures and not delay."""


def pipeline(address: str, *, codec: str) -> str:
    """The GStreamer pipeline that reads a camera, in the notation of `gst-launch-1.0`.

    Args:
        address: `rtsp://` or `rtsps://`; user and password may be in it.
        codec: h264 or h265.
    """
    return " ! ".join(
        [
            f"rtspsrc location={_quoted(address)} protocols=tcp latency={_LATENCY_MS} drop-on-latency=true",
            "application/x-rtp,media=video",  # cameras with a microphone offer sound as well
            f"rtp{codec}depay",
            f"{codec}parse",
            "nvv4l2decoder",
            "nvvidconv",
            "video/x-raw,format=BGRx",
            "videoconvert",
            "video/x-raw,format=BGR",
            "appsink max-buffers=1 drop=true sync=false",
        ]
    )


def _quoted(text: str) -> str:
    """A value in which blanks, quotes and `!` mean themselves."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _open_pipeline(description: str) -> cv2.VideoCapture:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} in {cv2.__file__} knows no GStreamer: use the system's OpenCV, which pip's must "
            "not shadow (deploy/jetson/README.md), or leave out the gst-… in front of the address"
        )
    return cv2.VideoCapture(description, cv2.CAP_GSTREAMER)


class GstreamerSource(OpenCvSource):
    """Reads a network camera through GStreamer.

    Args:
        uri: `gst-h264+rtsp://…` or `gst-h265+rtsp://…`.
        now_us: The clock that stamps frames, microseconds UTC.
        open_pipeline: Opens a pipeline.

    Raises:
        SourceError: The uri is of another form, OpenCV has no GStreamer, or the camera cannot be opened.
    """

    def __init__(
        self,
        uri: str,
        *,
        now_us: Callable[[], int] = utc_us,
        open_pipeline: Callable[[str], cv2.VideoCapture] = _open_pipeline,
    ) -> None:
        parts = gstreamer_parts(uri)
        if parts is None:
            raise SourceError(f"{masked(uri)!r}: wanted {GSTREAMER_FORM}")
        codec, address = parts
        super().__init__(
            open_pipeline(pipeline(address, codec=codec)),
            name=f"camera {masked(uri)}",
            now_us=now_us,
            open_hint=f"does it answer, does it send {codec}, and are NVIDIA's GStreamer elements installed?",
        )
