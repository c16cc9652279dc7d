"""Video files: every frame, at the start time plus its own timestamp."""

from __future__ import annotations

from pathlib import Path

import av

from edge.errors import SourceError
from edge.frames import Frame
from edge.sources.decoding import VideoDecoder, picture_of, reason_of

_WHOLE_SHARE = 0.95
"""A file that yields less of its promised duration is called truncated; containers are a few frames off at times."""
_WHOLE_SLACK_S = 0.5


class VideoFileSource:
    """Reads a video file with PyAV.

    Args:
        path: The file.
        start_time_us: Time of its first frame.

    Raises:
        SourceError: The file is missing, is no video, or lost its index to truncation.
    """

    is_live = False

    def __init__(self, path: Path, *, start_time_us: int) -> None:
        self._path = path
        self._start_time_us = start_time_us
        if not path.is_file():
            raise SourceError(f"no video at {path}")
        try:
            container = av.open(str(path))
        except av.FFmpegError as error:
            raise SourceError(f"{path} is no readable video ({reason_of(error)}), or it is truncated") from None
        self._decoder = VideoDecoder(container, name=str(path), threads="AUTO")
        self.frame_rate_hz = self._decoder.frame_rate_hz
        self._promised_s = _promised_s(self._decoder, container.duration)
        self._first_s: float | None = None
        self._last_s = 0.0
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`; a file that ends before its promised duration raises SourceError at its end."""
        decoded = self._decoder.next()
        if decoded is None:
            self._check_whole()
            return None
        index, self._next_index = self._next_index, self._next_index + 1
        return Frame(picture_of(decoded), self._start_time_us + round(self._since_first_s(decoded) * 1e6), index)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._decoder.close()

    def _since_first_s(self, decoded: av.VideoFrame) -> float:
        frame_s = 1.0 / self.frame_rate_hz
        if decoded.pts is None or decoded.time_base is None:
            self._last_s += frame_s if self._next_index > 1 else 0.0
            return self._last_s
        time_s = float(decoded.pts * decoded.time_base)
        if self._first_s is None:
            self._first_s = time_s
        self._last_s = max(self._last_s, time_s - self._first_s)
        return self._last_s

    def _check_whole(self) -> None:
        if self._next_index == 0:
            raise SourceError(f"{self._path}: not one frame could be decoded")
        came_s = self._last_s + 1.0 / self.frame_rate_hz
        if came_s < _WHOLE_SHARE * self._promised_s - _WHOLE_SLACK_S:
            raise SourceError(
                f"{self._path} is truncated: it promises {self._promised_s:.1f} s and ends after {came_s:.1f} s; "
                f"the {self._next_index} frames before that were read"
            )


def _promised_s(decoder: VideoDecoder, container_duration_us: int | None) -> float:
    """Duration that the file's header claims; 0 if it claims none. A cut AVI still has the true frame count."""
    stream = decoder.stream
    by_count: float = stream.frames / decoder.frame_rate_hz
    if stream.duration is not None and stream.time_base is not None:
        return max(by_count, float(stream.duration * stream.time_base))
    return max(by_count, (container_duration_us or 0) / 1e6)
