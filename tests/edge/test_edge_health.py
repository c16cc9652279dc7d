from __future__ import annotations

import pytest

from edge.batching import BatchCounts
from edge.health import HealthMeter
from edge.releases.refresh import RefreshStatus
from edge.report import AgentReport, CameraReport
from reid.durations import Durations
from reid.types import ReleaseRef

OLD, NEW = ReleaseRef("tiny", "1", "tiny-1"), ReleaseRef("tiny", "2", "tiny-2")


def camera(**figures):
    names = ("frames", "dropped", "frames_skipped", "stride", "waiting", "detections", "too_small", "tracks")
    values = dict.fromkeys((*names, "switches", "selected", "reconnects"), 0)
    return CameraReport(**{**values, "faults": {}, "failure": "", **figures})


def report(**figures):
    names = ("spooled", "lost", "spool_dropped", "sent", "acknowledged", "rejected", "remaining", "bytes_sent")
    values = dict.fromkeys((*names, "queued", "embed_queued", "duration_s"), 0)
    words = dict.fromkeys(("edge_id", "release", "uplink", "problem", "precision"), "")
    rest = {"cameras": {}, "faults": {}, "stage_ms": {}, "backend": "onnxruntime", "batches": BatchCounts()}
    return AgentReport(**{**values, **words, **rest, **figures})


class Bench:
    """A meter with everything it reads from."""

    def __init__(self) -> None:
        self.release, self.durations, self.report = OLD, Durations(), report()
        self.meter = HealthMeter(lambda: self.report, lambda: self.release, self.durations.cumulative)

    def embed(self, *durations_s: float) -> None:
        for duration_s in durations_s:
            self.durations.add(duration_s)


@pytest.fixture
def bench():
    return Bench()


def test_figures_are_those_of_all_cameras(bench):
    cameras = {
        "a": camera(frames=10, dropped=1, faults={"box": 2}),
        "b": camera(frames=5, dropped=2, faults={"frame": 1, "embedding": 3}),
    }
    bench.report = report(
        cameras=cameras,
        batches=BatchCounts(batches=3, crops=12),
        remaining=4,
        spool_dropped=5,
        coherence=0.8,
        refresh=RefreshStatus(gap_ms=30.0),
    )
    health = bench.meter()
    assert (health.frames, health.frames_dropped, health.faults, health.embeddings) == (15, 3, 6, 12)
    assert (health.spool_depth, health.spool_dropped, health.coherence, health.swap_gap_ms) == (4, 5, 0.8, 30.0)
    assert (health.release, health.backend) == (OLD, "onnxruntime")


def test_before_there_are_batches_enough_nothing_is_known(bench):
    assert bench.meter().embed_ms == 0.0
    bench.embed(*[0.002] * 9)
    assert bench.meter().embed_ms == 0.0


def test_the_time_of_a_batch_is_a_median(bench):
    bench.embed(*[0.002] * 9, 1.0)
    assert 1.0 < bench.meter().embed_ms < 2.5


def test_the_time_of_a_batch_is_of_the_release_that_runs(bench):
    bench.embed(*[0.002] * 20)
    bench.meter()
    bench.release = NEW
    assert bench.meter().embed_ms == 0.0
    bench.embed(*[0.2] * 10)
    assert 100 < bench.meter().embed_ms < 250
