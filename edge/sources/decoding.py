"""Decoding with PyAV, shared by video files and network streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

import av
import numpy as np

from edge.errors import BrokenFrameError, SourceError
from reid.types import UInt8Array

_DEFAULT_RATE_HZ = 25.0
_MOST_RATE_HZ = 240.0
"""Streams without a frame rate claim their clock's rate, such as 90 kHz."""


class VideoDecoder:
    """Pictures of the first video stream of an open container, in the order of display.

    Args:
        container: Opened for reading; closed by `close`.
        name: For messages.
        threads: How the codec may share the work; FRAME delays pictures by a few frames.

    Raises:
        SourceError: The container has no video.
    """

    def __init__(self, container: av.container.InputContainer, *, name: str, threads: Literal["SLICE", "AUTO"]) -> None:
        self._container = container
        self._name = name
        if not container.streams.video:
            container.close()
            raise SourceError(f"{name} has no video in it")
        self.stream = container.streams.video[0]
        self.stream.thread_type = threads
        self._packets: Iterator[av.Packet] = container.demux(self.stream)
        self._frames: deque[av.VideoFrame] = deque()

    @property
    def frame_rate_hz(self) -> float:
        """Nominal frames per second."""
        rate = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        return rate if 0 < rate <= _MOST_RATE_HZ else _DEFAULT_RATE_HZ

    def next(self) -> av.VideoFrame | None:
        """The next decoded frame, or None at the end.

        Raises:
            BrokenFrameError: A packet or frame is damaged; the next may be whole.
            SourceError: The container cannot be read on.
        """
        while not self._frames:
            try:
                packet = next(self._packets)
            except StopIteration:
                return None
            except av.FFmpegError as error:
                raise SourceError(f"{self._name} broke off: {reason_of(error)}") from None
            try:
                self._frames.extend(packet.decode())
            except av.error.EOFError:
                return None
            except av.FFmpegError as error:
                raise BrokenFrameError(f"{self._name}: a damaged packet: {reason_of(error)}") from None
        frame = self._frames.popleft()
        if frame.is_corrupt:
            raise BrokenFrameError(f"{self._name}: a damaged frame")
        return frame

    def close(self) -> None:
        """Close the container; safe to call twice."""
        self._frames.clear()
        self._container.close()


def picture_of(frame: av.VideoFrame) -> UInt8Array:
    """The picture of a decoded frame, BGR uint8 (H, W, 3), upright.

    Raises:
        BrokenFrameError: Its pixels cannot be converted.
    """
    try:
        picture = frame.to_ndarray(format="bgr24")
    except (av.FFmpegError, ValueError) as error:
        raise BrokenFrameError(f"a frame in {frame.format.name} cannot be converted to BGR: {error}") from None
    return upright(picture, rotation_deg=int(getattr(frame, "rotation", 0)))


def upright(picture: UInt8Array, *, rotation_deg: int) -> UInt8Array:
    """Turn a picture counter-clockwise by what its container says, to the nearest quarter turn.

    Phones and some cameras store pictures sideways and say so; detectors know upright people only.
    """
    quarters = round(rotation_deg / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters else picture


def reason_of(error: av.FFmpegError) -> str:
    """Why FFmpeg failed, without the address, which may hold a password."""
    if isinstance(error, av.error.ExitError):  # how FFmpeg reports that its time limit has passed
        return "no answer in time"
    return str(error.strerror or type(error).__name__)
