"""The frames of one camera, whatever happens to it: opens its source, watches it, opens it again.

State              next
------------------ ---------------------------------------------------------------------------------------------
waiting            reading, when the back-off has passed (the first time at once)
reading            ended, when a file ends or breaks; waiting, when a live source breaks or is silent for too long
ended              none; also entered by `stop` from any state

The consumer's calls of `next_frame` drive this; only reading happens in a thread (`edge.connection`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from pydantic import Field

from edge.connection import CaptureCounts, Connection
from edge.errors import SourceError
from edge.frames import Frame, FrameSource
from reid.retry import Backoff
from reid.settings import Settings

logger = structlog.get_logger(__name__)

_LONGEST_NAP_S = 0.25
"""Longest wait between two looks at the state of the connection."""

_STOP_JOIN_S = 2.0


class CaptureSettings(Settings):
    """How a camera is read."""

    stall_timeout_s: float = Field(default=10.0, gt=0)
    """A live source that brings no whole frame for so long, opening included, is torn down and opened again."""
    queue_frames: int = Field(default=4, ge=1, le=64)
    """Frames of a file that are read ahead."""
    max_hung_reads: int = Field(default=4, ge=1)
    """While so many abandoned reads still hang, no other is started: each holds a thread and perhaps a connection."""


class Capture:
    """Runs one frame source in a thread, again and again if it is live.

    Args:
        open_source: Makes the source; called in the reading thread, again after every break of a live one.
        camid: For the logs.
        is_live: True: the latest frame wins and breaks are mended. False: every frame is delivered, in order, and a
            break ends the capture.
        settings: Limits.
        backoff: Waits between openings.
        clock: Monotonic seconds, for watchdog and back-off.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        *,
        camid: str,
        is_live: bool,
        settings: CaptureSettings | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_source = open_source
        self._camid = camid
        self._is_live = is_live
        self._settings = settings or CaptureSettings()
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # around changes of _connection, which `stop` and `counts` see from outside
        self._connection: Connection | None = None
        self._hung: list[Connection] = []
        self._past = CaptureCounts()
        self._open_at_s = clock()
        self._has_ended = False
        self._was_lost = False
        self._failure: SourceError | None = None
        self._frame_rate_hz = 0.0

    @property
    def ended(self) -> bool:
        """True when no frame will come any more: a file is through or broke, or `stop` was called."""
        return self._has_ended or self._stopped.is_set()

    @property
    def failure(self) -> SourceError | None:
        """Why a file ended early (missing, truncated, …) or a live source is lost at the moment, or None."""
        return self._failure

    @property
    def frame_rate_hz(self) -> float:
        """Nominal rate of the source that brought the last frame; 0 before the first."""
        return self._frame_rate_hz

    @property
    def counts(self) -> CaptureCounts:
        """What became of the frames so far; from any thread."""
        with self._lock:
            return self._past + self._connection.counts if self._connection else self._past

    @property
    def depth(self) -> int:
        """Frames that were read and wait; from any thread."""
        with self._lock:
            return self._connection.depth if self._connection else 0

    def next_frame(self, timeout_s: float) -> Frame | None:
        """The next frame.

        Args:
            timeout_s: Longest wait, seconds; with 0 the state is looked at once.

        Returns:
            A frame, or None when none came in time or none will come (see `ended`). To be called by one thread.
        """
        until_s = time.monotonic() + timeout_s
        while not self.ended:
            self._supervise()
            nap_s = min(max(until_s - time.monotonic(), 0.0), _LONGEST_NAP_S)
            frame = self._wait(nap_s)
            if frame is not None:
                return frame
            if time.monotonic() >= until_s:
                self._supervise()
                return None
        return None

    def stop(self) -> None:
        """Stop reading and free the source, unless its read hangs; safe to call twice, from any thread."""
        self._stopped.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.abandon()
            connection.join(_STOP_JOIN_S)

    def _wait(self, nap_s: float) -> Frame | None:
        connection = self._connection
        if connection is None:
            self._stopped.wait(min(nap_s, max(self._open_at_s - self._clock(), 0.0)))
            return None
        frame = connection.take(nap_s)
        if frame is not None:
            self._note_frame(connection)
        return frame

    def _note_frame(self, connection: Connection) -> None:
        self._frame_rate_hz = connection.frame_rate_hz
        if self._failure is not None:
            self._failure = None
            logger.info("camera is back", camid=self._camid)
        if self._was_lost:
            self._was_lost = False
            with self._lock:
                self._past += CaptureCounts(reconnects=1)

    def _supervise(self) -> None:
        connection = self._connection
        if connection is None:
            self._open_when_due()
        elif connection.is_over:
            self._close(connection)
        elif self._is_live and connection.silent_s > self._settings.stall_timeout_s:
            connection.abandon()
            self._hung.append(connection)
            self._lose(connection, SourceError(f"no frame for {connection.silent_s:.0f} s"))

    def _open_when_due(self) -> None:
        if self._clock() < self._open_at_s:
            return
        self._hung = [connection for connection in self._hung if connection.is_running]
        if len(self._hung) >= self._settings.max_hung_reads:
            self._open_at_s = self._clock() + self._backoff.next_wait_s()
            logger.warning("camera not opened again: earlier reads still hang", camid=self._camid, num=len(self._hung))
            return
        with self._lock:
            if self._stopped.is_set():
                return
            self._connection = Connection(
                self._open_source,
                name=f"read-{self._camid}",
                latest_wins=self._is_live,
                capacity=self._settings.queue_frames,
                clock=self._clock,
            )

    def _close(self, connection: Connection) -> None:
        """A connection has ended by itself: that is the end of a file, and a break of a live source."""
        if self._is_live and connection.fault is not None:
            self._lose(connection, connection.fault)
            return
        self._failure = connection.fault
        self._has_ended = True
        if self._failure is None:
            logger.info("camera ended", camid=self._camid, frames=self.counts.frames)
        else:
            logger.error("camera failed", camid=self._camid, frames=self.counts.frames, reason=str(self._failure))

    def _lose(self, connection: Connection, reason: SourceError) -> None:
        if connection.delivered_s > self._settings.stall_timeout_s:
            self._backoff.reset()  # it worked for a while, so this is a new fault, not the same one again
        wait_s = self._backoff.next_wait_s()
        with self._lock:
            self._past += connection.counts
            self._connection = None
        self._was_lost = self._was_lost or self._past.frames > 0
        self._open_at_s = self._clock() + wait_s
        # The same trouble again is no news: a camera that is off all night must not fill the log.
        report = logger.debug if str(reason) == str(self._failure) else logger.warning
        report("camera lost", camid=self._camid, reason=str(reason), open_again_in_s=round(wait_s, 1))
        self._failure = reason
