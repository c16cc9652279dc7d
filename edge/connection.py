"""One opening of a frame source, read by one thread into an inbox of its own.

A read can hang for minutes and cannot be interrupted. So a connection is given up as a whole: `abandon` empties its
inbox and takes in nothing more, and the thread closes the source whenever its read returns. Nothing that an abandoned
thread still does reaches the consumer.

The inbox of a live source holds the latest frame, which replaces one that was not taken. That of a file holds a few
frames; when it is full, the thread waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.errors import BrokenFrameError, SourceError
from edge.frames import Frame, FrameSource
from reid.types import UInt8Array


@dataclass(frozen=True)
class CaptureCounts:
    """What became of the frames of a camera since the start.

    Attributes:
        frames: Read and whole.
        dropped: Of these, replaced by a newer one before they were taken.
        broken: Not decodable, or no BGR uint8 picture; left out.
        reconnects: Times that a lost camera came back.
    """

    frames: int = 0
    dropped: int = 0
    broken: int = 0
    reconnects: int = 0

    def __add__(self, other: CaptureCounts) -> CaptureCounts:
        """Sums, count by count."""
        return CaptureCounts(
            self.frames + other.frames,
            self.dropped + other.dropped,
            self.broken + other.broken,
            self.reconnects + other.reconnects,
        )


class Connection:
    """Opens a source in a thread of its own and reads it until it ends, breaks or is abandoned.

    Args:
        open_source: Called once, in the thread.
        name: Of the thread.
        latest_wins: True for live sources.
        capacity: Frames that the inbox of a file holds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        *,
        name: str,
        latest_wins: bool,
        capacity: int,
        clock: Callable[[], float],
    ) -> None:
        self._open_source = open_source
        self._latest_wins = latest_wins
        self._capacity = 1 if latest_wins else capacity
        self._clock = clock
        self._inbox: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._is_abandoned = False
        self._is_over = False
        self._fault: SourceError | None = None
        self._frame_rate_hz = 0.0
        self._frames = self._dropped = self._broken = 0
        self._opened_s = self._last_frame_s = clock()
        # A daemon: a hung read must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """True when the source ended or broke and every frame was taken."""
        with self._changed:
            return self._is_over and not self._inbox

    @property
    def fault(self) -> SourceError | None:
        """Why the source broke, or None if it ended or goes on."""
        return self._fault

    @property
    def frame_rate_hz(self) -> float:
        """Nominal rate of the source; 0 before it is open."""
        return self._frame_rate_hz

    @property
    def counts(self) -> CaptureCounts:
        """What became of its frames."""
        with self._changed:
            return CaptureCounts(self._frames, self._dropped, self._broken)

    @property
    def depth(self) -> int:
        """Frames that wait to be taken."""
        return len(self._inbox)

    @property
    def silent_s(self) -> float:
        """Seconds since the last whole frame, or since the opening began."""
        return self._clock() - self._last_frame_s

    @property
    def delivered_s(self) -> float:
        """Seconds from the opening to the last whole frame."""
        return self._last_frame_s - self._opened_s

    @property
    def is_running(self) -> bool:
        """True until its thread has closed the source."""
        return self._thread.is_alive()

    def take(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none came in time, or the connection is over or abandoned."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._is_over or self._is_abandoned, timeout_s)
            if not self._inbox:
                return None
            frame = self._inbox.popleft()
            self._changed.notify_all()
            return frame

    def abandon(self) -> None:
        """Take in nothing more; the thread closes the source as soon as its read returns."""
        with self._changed:
            self._is_abandoned = True
            self._dropped += len(self._inbox)
            self._inbox.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to close the source."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        fault: SourceError | None = None
        try:
            source = self._open_source()
            try:
                self._frame_rate_hz = source.frame_rate_hz
                self._read_all(source)
            finally:
                source.close()
        except SourceError as error:
            fault = error
        except Exception as error:  # a driver's surprise must end this connection, not the camera
            fault = SourceError(f"the source failed unexpectedly: {type(error).__name__}: {error}")
        with self._changed:
            self._fault = fault
            self._is_over = True
            self._changed.notify_all()

    def _read_all(self, source: FrameSource) -> None:
        while not self._is_abandoned:
            try:
                frame = source.read()
            except BrokenFrameError:
                self._count_broken()
                continue
            if frame is None:
                return
            if is_picture(frame.image):
                self._put(frame)
            else:
                self._count_broken()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._frames += 1
            self._last_frame_s = self._clock()
            if not self._latest_wins:
                self._changed.wait_for(lambda: len(self._inbox) < self._capacity or self._is_abandoned)
            elif self._inbox:
                self._inbox.clear()
                self._dropped += 1
            if self._is_abandoned:
                self._dropped += 1
                return
            self._inbox.append(frame)
            self._changed.notify_all()

    def _count_broken(self) -> None:
        with self._changed:
            self._broken += 1


def is_picture(image: UInt8Array) -> bool:
    """True for BGR uint8 (H, W, 3) with at least one pixel; drivers have been seen to send less."""
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and (image.shape[2] == 3 and image.size > 0)
    )
