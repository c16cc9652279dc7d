from __future__ import annotations

import pytest

from edge.sources.uri import is_live, masked


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("rtsp://host/1", True),
        ("RTSPS://host/1", True),
        ("https://host/mjpeg", True),
        ("webcam:0", True),
        ("gst-h264+rtsp://host/1", True),
        ("gst-h265+rtsps://host/1", True),
        ("gst-vp9+rtsp://host/1", False),
        ("gst-h264+http://host/1", False),
        ("webcam:front", False),
        ("sim:?seed=1", False),
        ("videos/a.mp4", False),
        ("rtsp.mp4", False),
        ("/pictures", False),
    ],
)
def test_cameras_are_live_and_files_are_not(uri: str, expected: bool) -> None:
    assert is_live(uri) is expected


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.1:554/s1", "rtsp://***@10.0.0.1:554/s1"),
        ("rtsp://admin:se/cr@et@10.0.0.1/s1", "rtsp://***@10.0.0.1/s1"),
        ("gst-h264+rtsp://admin:secret@10.0.0.1/s1", "gst-h264+rtsp://***@10.0.0.1/s1"),
        ("http://10.0.0.1/mjpeg?user=admin&pwd=secret", "http://10.0.0.1/mjpeg?***"),
        ("rtsp://10.0.0.1/s1", "rtsp://10.0.0.1/s1"),
        ("rtsp://admin:secret@[::1/s1", "rtsp://***@[::1/s1"),
        ("rtsp://10.0.0.1/s1?login=me@secret", "rtsp://***"),
        ("ftp://me:secret@host/a", "ftp://***@host/a"),
        ("film@home.mp4", "film@home.mp4"),
        ("sim:?seed=1", "sim:?seed=1"),
    ],
    ids=[
        "plain",
        "unescaped",
        "gstreamer",
        "query",
        "no-login",
        "malformed",
        "at-in-query",
        "other-scheme",
        "file",
        "simulated",
    ],
)
def test_no_password_is_shown(uri: str, shown: str) -> None:
    assert masked(uri) == shown
