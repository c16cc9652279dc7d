from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fakes_camera import FakeDetector, FakeEngine, FakeTracker, make_frame

from edge.frames import Frame
from edge.keyframes import KeyframePolicy, KeyframeSettings
from edge.pipeline import CameraPipeline
from edge.switches import SwitchGuard, SwitchSettings
from reid.types import Box

ONE, TWO = Box(20, 20, 70, 150), Box(150, 30, 200, 160)


class Bench:
    """A pipeline with fakes around it."""

    def __init__(self, *boxes, keeps_crops=False, **policy):
        self.detector, self.engine = FakeDetector(*boxes), FakeEngine()
        self.pipeline = CameraPipeline(
            "cam1",
            detector=self.detector,
            open_tracker=FakeTracker,
            engine=self.engine,
            switches=SwitchGuard(SwitchSettings()),
            policy=KeyframePolicy(KeyframeSettings(**{"min_views": 1, **policy})),
            next_tracklet_id=itertools.count(1000).__next__,
            keeps_crops=keeps_crops,
        )

    def play(self, num_frames, first=0):
        return [o for i in range(first, first + num_frames) for o in self.pipeline.process(make_frame(i))]


def test_all_persons_of_a_frame_are_embedded_in_one_batch():
    bench = Bench(ONE, TWO)
    bench.play(3)
    assert bench.engine.batch_sizes == [2, 2, 2]
    assert (bench.pipeline.num_detections, bench.pipeline.num_tracks) == (6, 2)


def test_empty_frame_embeds_nothing():
    bench = Bench()
    assert bench.play(2) == []
    assert bench.engine.batch_sizes == []


def test_observations_of_a_track_share_a_tracklet_id_and_end_with_is_last():
    bench = Bench(ONE)
    sent = [outgoing.observation for outgoing in (*bench.play(25), *bench.pipeline.finish())]
    assert {observation.tracklet_id for observation in sent} == {1000}
    assert [observation.is_last for observation in sent] == [False] * (len(sent) - 1) + [True]
    assert all(0 < observation.quality <= 1 and observation.camid == "cam1" for observation in sent)


def test_next_person_gets_a_new_tracklet_id():
    bench = Bench(ONE)
    bench.play(5)
    bench.detector.boxes = []
    (last,) = bench.play(1, first=5)
    bench.detector.boxes = [ONE]
    later = bench.play(5, first=6)
    assert last.observation.is_last
    assert later[0].observation.tracklet_id == 1001


def test_a_track_that_goes_over_to_somebody_else_becomes_two_tracklets():
    bench = Bench(ONE)
    first = [outgoing.observation for outgoing in bench.play(10)]
    bench.engine.looks = -bench.engine.looks
    rest = [outgoing.observation for outgoing in (*bench.play(10, first=10), *bench.pipeline.finish())]
    assert {observation.tracklet_id for observation in first} == {1000}
    assert [o.tracklet_id for o in rest if o.is_last] == [1000, 1001]
    assert all(o.embedding @ first[0].embedding > 0 for o in rest if o.tracklet_id == 1000)


def test_box_is_cut_to_the_frame():
    sent = Bench(Box(-30, 40, 60, 300)).play(2)
    assert sent[0].observation.box == Box(0, 40, 60, 240)


def test_crops_travel_along_only_when_they_are_kept():
    assert Bench(ONE).play(2)[0].crop is None
    assert Bench(ONE, keeps_crops=True).play(2)[0].crop.shape == (256, 128, 3)


@pytest.mark.parametrize(
    "box", [Box(50, 50, 50, 100), Box(400, 10, 450, 100), Box(math.nan, 1, 2, 3)], ids=["empty", "outside", "nan"]
)
def test_broken_box_costs_only_itself(box):
    bench = Bench(ONE, box)
    bench.play(3)
    assert bench.engine.batch_sizes == [1, 1, 1]
    assert bench.pipeline.faults.counts == {"box": 3}


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 0, 3), np.uint8), np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3), np.float32)],
    ids=["empty", "grey", "float"],
)
def test_broken_frame_costs_only_itself(image):
    bench = Bench(ONE)
    assert bench.pipeline.process(Frame(image, 0, 0)) == []
    assert bench.pipeline.faults.counts == {"frame": 1}
    assert bench.play(2)


@pytest.mark.parametrize(("part", "kind"), [("detector", "detector"), ("engine", "embedding")])
def test_failing_model_is_counted_and_the_camera_goes_on(part, kind):
    bench = Bench(ONE)
    bench.play(2)
    getattr(bench, part).fails = True
    bench.play(3, first=2)
    getattr(bench, part).fails = False
    bench.play(20, first=5)
    assert bench.pipeline.faults.counts == {kind: 3}
    assert bench.pipeline.finish()[0].observation.tracklet_id == 1000


def test_stages_are_timed():
    bench = Bench(ONE)
    bench.play(1)
    assert set(bench.pipeline.times.durations()) == {"detect", "track", "crop", "embed", "rate", "select"}
