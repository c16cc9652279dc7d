from __future__ import annotations

import threading

from fakes_camera import FakeCapture, make_frame
from makers import make_observation

from edge.camera import CameraWorker
from edge.faults import Faults
from edge.heartbeat import Heartbeat
from edge.outbox import Outbox, Outgoing


class FakePipeline:
    """Sends one observation per frame, but stumbles over frame 1."""

    def __init__(self):
        self.faults = Faults("cam1")

    def process(self, frame):
        if frame.index == 1:
            raise ZeroDivisionError("a fault of ours")
        return [Outgoing(make_observation(frame.index))]

    def finish(self):
        return [Outgoing(make_observation(99, is_last=True))]


def sent(outbox):
    return [entry.observation.tracklet_id for entry in outbox.take(100, timeout_s=0.0)]


def test_every_frame_goes_through_and_tracks_are_ended_at_the_end():
    capture, outbox = FakeCapture([make_frame(i) for i in (0, 2, 3)]), Outbox()
    CameraWorker("cam1", capture, FakePipeline(), outbox, is_live=False).run(threading.Event())
    assert sent(outbox) == [0, 2, 3, 99]
    assert capture.num_stops == 1


def test_unexpected_fault_costs_one_frame():
    outbox, pipeline = Outbox(), FakePipeline()
    CameraWorker("cam1", FakeCapture([make_frame(i) for i in range(4)]), pipeline, outbox, is_live=False).run(
        threading.Event()
    )
    assert sent(outbox) == [0, 2, 3, 99]
    assert pipeline.faults.counts == {"unexpected": 1}


def test_stopping_ends_the_tracks_of_a_camera_that_goes_on():
    stop, outbox = threading.Event(), Outbox()
    capture = FakeCapture([make_frame(0)] * 1000, on_frame=stop.set)
    CameraWorker("cam1", capture, FakePipeline(), outbox, is_live=True).run(stop)
    assert sent(outbox) == [0, 99]


def test_live_camera_never_waits_for_a_full_outbox():
    outbox = Outbox(capacity=2)
    frames = [make_frame(i) for i in (0, 2, 3, 4)]
    CameraWorker("cam1", FakeCapture(frames), FakePipeline(), outbox, is_live=True).run(threading.Event())
    assert (sent(outbox), outbox.num_displaced) == ([4, 99], 3)


def test_loop_beats_before_every_frame_and_rests_at_the_end():
    silences = []
    capture = FakeCapture([make_frame(0)] * 3, on_frame=lambda: silences.append(worker.heartbeat.silent_s))
    worker = CameraWorker("cam1", capture, FakePipeline(), Outbox(), is_live=False)
    worker.heartbeat = Heartbeat(clock=lambda: 5.0 + len(silences))
    worker.run(threading.Event())
    assert silences == [0.0, 0.0, 0.0]
    assert worker.heartbeat.silent_s == 0.0
