"""Network cameras: RTSP and HTTP streams, each frame stamped when it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable

import av

from edge.errors import SourceError
from edge.frames import Frame
from edge.sources.decoding import VideoDecoder, picture_of, reason_of
from edge.sources.uri import masked

_TIMEOUT_S = 8.0
"""For opening and for each read; below the capture's own watchdog, so that FFmpeg mostly cleans up by itself."""

_OPTIONS = {
    "rtsp_transport": "tcp",  # UDP loses packets on busy networks, and each loss smears a second of pictures
    "fflags": "nobuffer",
    "flags": "low_delay",
}


def _utc_us() -> int:
    return time.time_ns() // 1000


class StreamSource:
    """Reads a network camera with PyAV.

    Args:
        uri: `rtsp://`, `rtsps://`, `http://` or `https://`; user and password may be in it.
        now_us: The clock that stamps frames, microseconds UTC.

    Raises:
        SourceError: The camera does not answer, refuses, or sends no video.
    """

    is_live = True

    def __init__(self, uri: str, *, now_us: Callable[[], int] = _utc_us) -> None:
        self._name = masked(uri)
        self._now_us = now_us
        try:
            container = av.open(uri, options=_OPTIONS, timeout=_TIMEOUT_S)
        except av.FFmpegError as error:
            raise SourceError(f"camera {self._name} cannot be opened: {reason_of(error)}") from None
        self._decoder = VideoDecoder(container, name=f"camera {self._name}", threads="SLICE")
        self.frame_rate_hz = self._decoder.frame_rate_hz
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`; the end of a stream is a break, so it never returns None."""
        decoded = self._decoder.next()
        if decoded is None:
            raise SourceError(f"camera {self._name} ended its stream")
        index, self._next_index = self._next_index, self._next_index + 1
        return Frame(picture_of(decoded), self._now_us(), index)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._decoder.close()
