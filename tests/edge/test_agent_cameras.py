"""Agents with several cameras, and with one that is too much for the machine."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from fakes_server import FakeServer

from edge.agent import Agent
from edge.frames import Frame
from edge.settings import AgentSettings
from reid.detector import Detections
from reid.wire import observation_from_proto

CAMIDS = ["c1", "c2", "c3", "c4"]
SITE = "sim:?seed=4&people=40&cameras=4&duration_s=2&width_px=320&height_px=240&camera="


@pytest.fixture
def play(tmp_path, tiny_release):
    """Runs an agent on some cameras of the site; gives its report and what reached the server, by camid."""

    def run(camids, **batching):
        server = FakeServer()
        values = {
            "edge_id": "edge1",
            "cameras": {camid: SITE + camid for camid in camids},
            "server": server.address,
            "release": tiny_release.folder,
            "detector": "truth",
            "spool": {"path": tmp_path / f"{'-'.join(camids)}.spool"},
            "start_time": "2026-01-01T00:00:00Z",
            "once": True,
            "num_threads": 1,
            "batching": batching,
        }
        agent = Agent(AgentSettings.model_validate(values))
        try:
            agent.run(threading.Event())
            (rows,) = server.stored.values()
            sent = [observation_from_proto(row, camids=camids, dim=8).observation for row in rows.values()]
            return agent.report(), {camid: [one for one in sent if one.camid == camid] for camid in camids}
        finally:
            agent.close()
            server.stop()

    return run


def facts(sent):
    """All of the observations but their embeddings; tracklets by their order, since ids are never used twice."""
    order = {tracklet_id: number for number, tracklet_id in enumerate(sorted({one.tracklet_id for one in sent}))}
    return [(order[one.tracklet_id], one.time_us, one.box, one.quality, one.is_last) for one in sent]


def embeddings(sent):
    return np.stack([one.embedding for one in sent])


def test_four_cameras_share_batches_and_each_sends_what_it_sends_alone(play):
    report, together = play(CAMIDS, max_crops=64, budget_ms=200)
    assert report.batches.joined > 5
    assert report.batches.crops > report.batches.batches
    assert all(camera.frames == 20 and not camera.faults for camera in report.cameras.values())
    for camid in ("c1", "c3"):
        single, alone = play([camid], max_crops=64, budget_ms=200)
        assert single.batches.joined == 0
        assert facts(together[camid]) == facts(alone[camid])
        cosines = np.sum(embeddings(together[camid]) * embeddings(alone[camid]), axis=1)
        assert len(cosines) > 2
        assert cosines.min() > 0.999


class LiveSource:
    """A camera of 50 Hz with one person in view."""

    is_live = True
    frame_rate_hz = 50.0

    def __init__(self):
        self._next_index = 0

    def read(self):
        time.sleep(0.02)
        index, self._next_index = self._next_index, self._next_index + 1
        truth = Detections(np.array([[80, 40, 140, 200]], np.float32), np.array([0.9], np.float32))
        return Frame(np.full((240, 320, 3), 90, np.uint8), time.time_ns() // 1000, index, truth)

    def close(self):
        pass


def test_a_live_camera_on_a_slow_machine_leaves_out_frames_and_keeps_its_person(tmp_path, tiny_release, monkeypatch):
    def detect(self, frame):
        time.sleep(0.06)
        return frame.truth

    monkeypatch.setattr("edge.agent.open_source", lambda uri, *, start_time_us: LiveSource())
    monkeypatch.setattr("edge.detectors.TruthDetector.detect", detect)
    server, stop = FakeServer(), threading.Event()
    values = {
        "edge_id": "edge1",
        "cameras": {"door": "rtsp://camera/stream"},
        "server": server.address,
        "release": tiny_release.folder,
        "detector": "truth",
        "spool": {"path": tmp_path / "edge.spool"},
        "num_threads": 1,
    }
    agent = Agent(AgentSettings.model_validate(values))
    threading.Timer(4.0, stop.set).start()
    agent.run(stop)
    door = agent.report().cameras["door"]
    status = agent.report().stage_ms
    agent.close()
    server.stop()
    assert door.stride >= 3
    assert door.frames_skipped > 20
    assert (door.tracks, door.faults) == (1, {})
    assert 60 < status["frame_age"] < 1000
