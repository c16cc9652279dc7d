from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fakes_camera import FakeDetector, FakeEngine, FakeTracker, make_frame
from fakes_source import FakeSource
from fakes_source import make_frame as make_source_frame
from fakes_video import walker_picture, write_changing_video
from makers import unit_vector

from edge.frames import Frame
from edge.keyframes import KeyframePolicy, KeyframeSettings
from edge.pipeline import CameraPipeline
from edge.sources.video import VideoFileSource
from edge.switches import SwitchGuard, SwitchSettings
from edge.tracking import PersonTracker
from reid.detector import Detections
from reid.types import Box, ReleaseRef

ONE, TWO = Box(20, 20, 70, 150), Box(150, 30, 200, 160)


class Bench:
    """A pipeline with fakes around it."""

    def __init__(self, *boxes, keeps_crops=False, detector=None, open_tracker=FakeTracker, **policy):
        self.detector, self.engine = detector or FakeDetector(*boxes), FakeEngine()
        self.pipeline = CameraPipeline(
            "cam1",
            detector=self.detector,
            open_tracker=open_tracker,
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


def test_a_new_release_ends_the_tracklets_and_begins_new_ones_of_its_space():
    bench = Bench(ONE, TWO)
    sent = bench.play(10)
    bench.engine.release, bench.engine.looks = ReleaseRef("tiny", "2", "s2"), unit_vector(0.0, 1.0)
    sent += [*bench.play(10, first=10), *bench.pipeline.finish()]
    spaces = {}
    for outgoing in sent:
        spaces.setdefault(outgoing.observation.tracklet_id, []).append(outgoing.space)
    assert [set(spaces[tracklet_id]) for tracklet_id in range(1000, 1004)] == [{"s1"}, {"s1"}, {"s2"}, {"s2"}]
    assert [outgoing.observation.is_last for outgoing in sent].count(True) == 4
    assert (bench.pipeline.num_switches, bench.pipeline.num_tracks) == (0, 2)
    looks = {outgoing.space: int(np.argmax(outgoing.observation.embedding)) for outgoing in sent}
    assert looks == {"s1": 0, "s2": 1}


def test_coherence_is_of_the_space_of_the_last_views():
    bench = Bench(ONE)
    bench.play(10)
    assert bench.pipeline.coherence_in("s1").mean == pytest.approx(1.0)
    assert bench.pipeline.coherence_in("s2").weight == 0
    bench.engine.release = ReleaseRef("tiny", "2", "s2")
    bench.play(3, first=10)
    assert bench.pipeline.coherence_in("s1").weight == 0
    assert bench.pipeline.coherence_in("s2").weight == 2


def test_another_release_of_the_same_space_changes_no_tracklet():
    bench = Bench(ONE)
    bench.play(10)
    bench.engine.release = ReleaseRef("tiny", "1.1", "s1")
    rest = [*bench.play(10, first=10), *bench.pipeline.finish()]
    assert {outgoing.observation.tracklet_id for outgoing in rest} == {1000}


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


class ShareDetector:
    """Finds one person who takes the same share of every frame."""

    def detect(self, frame):
        height, width = frame.image.shape[:2]
        box = np.array([[width / 4, height / 8, width / 2, height * 7 / 8]], np.float32)
        return Detections(box, np.array([0.9], np.float32))


SIZES = [(320, 240), (640, 480), (480, 480)]


def changing_video(folder):
    source = VideoFileSource(write_changing_video(folder / "camera.h264", SIZES, num_frames=10), start_time_us=0)
    yield from iter(source.read, None)
    source.close()


def changing_camera(_folder):
    pictures = (walker_picture(index, *size) for size in SIZES for index in range(10))
    source = FakeSource([make_source_frame(index, picture) for index, picture in enumerate(pictures)], is_live=True)
    yield from iter(source.read, None)


@pytest.mark.parametrize("frames_of", [changing_video, changing_camera], ids=["file", "camera"])
def test_a_person_keeps_the_tracklet_when_the_camera_changes_its_resolution(tmp_path, frames_of):
    bench = Bench(detector=ShareDetector(), open_tracker=lambda: PersonTracker(10), max_interval_s=0.2)
    sent = [o.observation for frame in frames_of(tmp_path) for o in bench.pipeline.process(frame)]
    sent += [outgoing.observation for outgoing in bench.pipeline.finish()]
    assert {observation.tracklet_id for observation in sent} == {1000}
    assert {round(observation.box.x2 * 2) for observation in sent} == {width for width, _ in SIZES}
    assert bench.pipeline.faults.counts == {}
    assert sum(bench.engine.batch_sizes) == 29
