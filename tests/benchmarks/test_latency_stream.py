from __future__ import annotations

import time
from contextlib import closing

import cv2
import grpc
import numpy as np
import pytest

from benchmarks.instruments.counting_server import CountingServer
from benchmarks.instruments.latency.cameras import CameraServer
from benchmarks.instruments.latency.relay import Acknowledged, Relay
from benchmarks.instruments.latency.scene import Recording
from benchmarks.instruments.latency.stream import summary, waits_ms
from edge.sources.registry import open_source
from protos.ingest_pb2 import Hello, Observation, ObservationBatch, StreamObservationsRequest
from protos.ingest_pb2_grpc import IngestServiceStub

SENT_US = {"c1": [0, 100_000, 200_000, 300_000]}


def view(stamped_ms: int, acked_ms: int, *, tracklet_id: int = 1) -> Acknowledged:
    return Acknowledged("c1", tracklet_id, stamped_ms * 1000, acked_ms * 1000)


def picture(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()


def test_a_view_is_timed_from_the_frame_that_let_it_go_and_from_its_own() -> None:
    views = [view(3, 150), view(104, 260), view(205, 999)]
    assert waits_ms(views, SENT_US, from_us=0, until_us=1e9) == [(50, 150), (60, 160)]


def test_a_frame_that_was_skipped_let_nothing_go() -> None:
    assert waits_ms([view(3, 350), view(302, 999)], SENT_US, from_us=0, until_us=1e9) == [(50, 350)]


def test_tracklets_are_followed_apart() -> None:
    views = [view(3, 150), view(104, 260, tracklet_id=2)]
    assert waits_ms(views, SENT_US, from_us=0, until_us=1e9) == []


def test_only_what_was_let_go_in_the_measured_time_counts() -> None:
    views = [view(3, 150), view(104, 260), view(205, 999)]
    assert waits_ms(views, SENT_US, from_us=150_000, until_us=1e9) == [(60, 160)]
    assert waits_ms(views, SENT_US, from_us=0, until_us=150_000) == [(50, 150)]


@pytest.mark.parametrize(("num_read", "kept_up"), [(3, True), (0, False)])
def test_an_agent_that_lags_behind_its_cameras_is_noticed(num_read: int, kept_up: bool) -> None:
    camera = {"frames": num_read, "dropped": 0}
    report = {"cameras": {"c1": camera}, "backend": "b", "precision": "p", "stage_ms": {}}
    found = summary([view(3, 150), view(104, 260)], SENT_US, report, from_us=0, seconds=1.0)
    assert found["kept_up"] is kept_up


def test_a_recording_is_shown_forwards_and_backwards() -> None:
    recording = Recording([b""] * 4, 10.0, [[]] * 4)
    assert [recording.position(index) for index in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]


def test_a_camera_shows_its_recording_at_its_rate_from_frame_0() -> None:
    recording = Recording([picture(grey) for grey in (0, 80, 160, 240)], 20.0, [[]] * 4)
    opened_us = time.time_ns() // 1000
    with CameraServer(recording, 1) as cameras, closing(open_source(cameras.url("c1"), start_time_us=0)) as source:
        frames = [source.read() for _ in range(4)]
        sent_us = cameras.sent_us("c1")
    assert [round(float(frame.image.mean()) / 80) for frame in frames if frame] == [0, 1, 2, 3]
    assert all(sent >= opened_us + 50_000 * index for index, sent in enumerate(sent_us))  # late perhaps, early never
    assert all(frame and sent <= frame.time_us for frame, sent in zip(frames, sent_us, strict=False))


def test_the_relay_hands_everything_on_and_notes_acknowledgements() -> None:
    hello = StreamObservationsRequest(hello=Hello(protocol_version=1, edge_id="e", spool_id="s", camids=["c1", "c2"]))
    seen = [Observation(seq=seq, camera_index=1, tracklet_id=7, time_us=10 * seq) for seq in (1, 2)]
    batch = StreamObservationsRequest(batch=ObservationBatch(space="x", dim=512, observations=seen))
    before_us = time.time_ns() // 1000
    with closing(CountingServer()) as server, Relay(server.address) as relay:
        with grpc.insecure_channel(relay.address) as channel:
            answers = list(IngestServiceStub(channel).StreamObservations(iter([hello, batch]), timeout=20))
        noted = relay.acknowledged
    assert [answer.acknowledgement.acked_seq for answer in answers] == [0, 2]
    assert server.num_observations == 2
    assert [(one.camid, one.tracklet_id, one.time_us) for one in noted] == [("c2", 7, 10), ("c2", 7, 20)]
    assert all(before_us <= one.acked_us <= time.time_ns() // 1000 for one in noted)
