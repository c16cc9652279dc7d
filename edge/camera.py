"""The thread of one camera: takes frames from its capture, runs the pipeline, puts what it selects into the outbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import structlog

from edge.capture import Capture
from edge.frames import Frame
from edge.heartbeat import Heartbeat
from edge.outbox import Outbox
from edge.pace import Pace
from edge.pipeline import CameraPipeline
from edge.stage_times import StageTimes

logger = structlog.get_logger(__name__)


class CameraWorker:
    """Drives one camera.

    Args:
        camid: The camera.
        capture: Its frames.
        pipeline: What is done with them.
        outbox: Where the selected observations go.
        is_live: The camera does not wait: when it is late, frames are left out, and when the outbox is full, its oldest
            entries are displaced.
        pace: Which frames of a live camera are left out; every frame of a file counts.
        at_work: Entered for the time of the work on a frame.

    Attributes:
        heartbeat: Of its loop.
        times: `inbox_wait`, from the arrival of a frame to the begin of the work, and `frame_age`, to its end.
    """

    def __init__(
        self,
        camid: str,
        capture: Capture,
        pipeline: CameraPipeline,
        outbox: Outbox,
        *,
        is_live: bool,
        pace: Pace | None = None,
        at_work: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.camid = camid
        self.heartbeat = Heartbeat()
        self.times = StageTimes()
        self.capture = capture
        self.pipeline = pipeline
        self.pace = pace or Pace()
        self._outbox = outbox
        self._is_live = is_live
        self._at_work = at_work

    def run(self, stop: threading.Event) -> None:
        """Work until the frames end or `stop` is set; then end all tracks."""
        while not stop.is_set() and not self.capture.ended:
            self.heartbeat.beat()
            self.step(timeout_s=0.2)
        self.heartbeat.rest()
        self.capture.stop()
        for outgoing in self.pipeline.finish():
            self._outbox.put(outgoing, may_wait=not self._is_live)

    def step(self, *, timeout_s: float) -> None:
        """Take in the next frame, after waiting for it for at most `timeout_s`."""
        frame = self.capture.next_frame(timeout_s)
        if frame is None or (self._is_live and not self.pace.takes(frame)):
            return
        begin_s = time.monotonic()
        self.times.add("inbox_wait", begin_s - frame.arrived_s)
        self._work_on(frame)
        end_s = time.monotonic()
        self.times.add("frame_age", end_s - frame.arrived_s)
        if self._is_live:
            self._keep_pace(work_s=end_s - begin_s, age_s=end_s - frame.arrived_s, now_s=end_s)

    def _work_on(self, frame: Frame) -> None:
        try:
            with self._at_work():
                selected = self.pipeline.process(frame)
        except Exception as error:  # a fault of ours in one frame must not end the camera
            self.pipeline.faults.note("unexpected", error)
            return
        for outgoing in selected:
            self._outbox.put(outgoing, may_wait=not self._is_live)

    def _keep_pace(self, *, work_s: float, age_s: float, now_s: float) -> None:
        former = self.pace.stride
        self.pace.note(work_s=work_s, age_s=age_s, now_s=now_s)
        if self.pace.stride != former:
            logger.info("pace", camid=self.camid, one_frame_of=self.pace.stride, work_ms=round(1000 * work_s, 1))
