from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import contextmanager

from fakes_camera import FakeCapture, make_frame
from makers import make_observation
from structlog.testing import capture_logs

from edge.camera import CameraWorker
from edge.faults import Faults
from edge.heartbeat import Heartbeat
from edge.outbox import Outbox, Outgoing
from edge.pace import Pace, PaceSettings


class FakePipeline:
    """Sends one observation per frame, but stumbles over frame 1."""

    def __init__(self):
        self.faults = Faults("cam1")

    def process(self, frame):
        if frame.index == 1:
            raise ZeroDivisionError("a fault of ours")
        return [Outgoing(make_observation(frame.index), "s1", frame.arrived_s)]

    def finish(self):
        return [Outgoing(make_observation(99, is_last=True), "s1", 0.0)]


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


class SlowPipeline(FakePipeline):
    """Takes longer for a frame than the camera has between two."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def process(self, frame):
        self.seen.append(frame.index)
        time.sleep(0.02)
        return []


def play_slowly(*, is_live):
    begin_s = time.monotonic()
    frames = [dataclasses.replace(make_frame(index), arrived_s=begin_s + index * 0.01) for index in range(30)]
    worker = CameraWorker(
        "cam1", FakeCapture(frames), SlowPipeline(), Outbox(), is_live=is_live, pace=Pace(PaceSettings(max_gap_s=0.04))
    )
    worker.run(threading.Event())
    return worker


def test_a_live_camera_that_is_late_leaves_out_frames_and_counts_them():
    with capture_logs() as logs:
        worker = play_slowly(is_live=True)
    assert len(worker.pipeline.seen) + worker.pace.num_skipped == 30
    assert worker.pace.num_skipped >= 10
    changes = [line["one_frame_of"] for line in logs if line["event"] == "pace"]
    assert changes[-1] == worker.pace.stride >= 3


def test_every_frame_of_a_file_is_looked_at_however_late():
    worker = play_slowly(is_live=False)
    assert worker.pipeline.seen == list(range(30))
    assert worker.pace.num_skipped == 0


def test_ages_are_counted_from_the_arrival_of_a_frame():
    old = dataclasses.replace(make_frame(0), arrived_s=time.monotonic() - 100)
    worker = CameraWorker("cam1", FakeCapture([old]), FakePipeline(), Outbox(), is_live=False)
    worker.run(threading.Event())
    ages = {stage: durations.total_s for stage, durations in worker.times.durations().items()}
    assert 100 <= ages["inbox_wait"] <= ages["frame_age"] < 200


def test_others_know_when_a_camera_is_at_work():
    turns = []

    @contextmanager
    def at_work():
        turns.append("begin")
        yield
        turns.append("end")

    CameraWorker(
        "cam1", FakeCapture([make_frame(0), make_frame(1)]), FakePipeline(), Outbox(), is_live=True, at_work=at_work
    ).run(threading.Event())
    assert turns[:2] == ["begin", "end"]
