"""The thread of one camera: takes frames from its capture, runs the pipeline, puts what it selects into the outbox."""

from __future__ import annotations

import threading

from edge.capture import Capture
from edge.heartbeat import Heartbeat
from edge.outbox import Outbox
from edge.pipeline import CameraPipeline


class CameraWorker:
    """Drives one camera.

    Args:
        camid: The camera.
        capture: Its frames.
        pipeline: What is done with them.
        outbox: Where the selected observations go.
        is_live: The camera does not wait: when the outbox is full, the oldest entries are displaced.

    Attributes:
        heartbeat: Of its loop.
    """

    def __init__(
        self, camid: str, capture: Capture, pipeline: CameraPipeline, outbox: Outbox, *, is_live: bool
    ) -> None:
        self.camid = camid
        self.heartbeat = Heartbeat()
        self.capture = capture
        self.pipeline = pipeline
        self._outbox = outbox
        self._is_live = is_live

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
        if frame is None:
            return
        try:
            selected = self.pipeline.process(frame)
        except Exception as error:  # a fault of ours in one frame must not end the camera
            self.pipeline.faults.note("unexpected", error)
            return
        for outgoing in selected:
            self._outbox.put(outgoing, may_wait=not self._is_live)
