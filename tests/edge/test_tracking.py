from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from edge.detectors import open_detector
from edge.sources.registry import open_source
from edge.tracking import PersonTracker, TrackingSettings, TrackUpdate
from reid.detector import Detections
from reid.types import Box
from simulation.detections import noisy_detections
from simulation.site import SimulatedSite, SiteConfig

FRAME_US = 100_000
"""10 Hz."""


def walker(index: int, *, score: float = 0.9, start_x: float = 50.0, speed: float = 4.0) -> Detections:
    """One person of 40 x 100 who walks to the right."""
    x = start_x + speed * index
    return Detections(np.array([[x, 50, x + 40, 150]], np.float32), np.array([score], np.float32))


def together(*parts: Detections) -> Detections:
    return Detections(np.concatenate([p.xyxy for p in parts]), np.concatenate([p.scores for p in parts]))


def play(tracker: PersonTracker, indices: range, *, score: float = 0.9) -> list[TrackUpdate]:
    return [tracker.update(walker(index, score=score), index * FRAME_US) for index in indices]


def ids(update: TrackUpdate) -> list[int]:
    return [track.track_id for track in update.tracks]


def test_a_person_keeps_one_id_from_the_second_frame_on() -> None:
    updates = play(PersonTracker(10), range(20))
    assert [ids(update) for update in updates] == [[], *[[1]] * 19]
    assert all(not update.ended for update in updates)


def test_a_track_has_the_box_and_score_of_its_detection() -> None:
    track = play(PersonTracker(10), range(2))[-1].tracks[0]
    assert track.box == Box(54, 50, 94, 150)
    assert track.score == pytest.approx(0.9)


def test_two_people_have_two_ids() -> None:
    tracker = PersonTracker(10)
    updates = [tracker.update(together(walker(i), walker(i, start_x=400, speed=-4)), i * FRAME_US) for i in range(10)]
    assert all(sorted(ids(update)) == [1, 2] for update in updates[1:])


def test_a_weak_box_continues_a_track_but_starts_none() -> None:
    tracker = PersonTracker(10)
    play(tracker, range(5))
    assert [ids(update) for update in play(tracker, range(5, 12), score=0.15)] == [[1]] * 7
    assert all(not update.tracks for update in play(PersonTracker(10), range(10), score=0.45))


def test_a_person_who_is_found_again_in_time_keeps_the_id() -> None:
    tracker = PersonTracker(10)
    play(tracker, range(10))
    for index in range(10, 17):
        assert tracker.update(Detections.none(), index * FRAME_US) == TrackUpdate([], [])
    assert ids(play(tracker, range(17, 19))[-1]) == [1]


def test_a_track_ends_once_after_the_buffer_and_a_returning_person_gets_a_new_id() -> None:
    tracker = PersonTracker(10)
    play(tracker, range(10))
    ended = [tracker.update(Detections.none(), index * FRAME_US).ended for index in range(10, 30)]
    assert [ids for ids in ended if ids] == [[1]]
    assert 9 <= ended.index([1]) <= 12
    assert ids(play(tracker, range(30, 33))[-1]) == [2]


def test_an_unconfirmed_track_is_neither_reported_nor_ended() -> None:
    tracker = PersonTracker(10)
    updates = [tracker.update(walker(0), 0)]
    updates += [tracker.update(Detections.none(), index * FRAME_US) for index in range(1, 30)]
    assert all(update == TrackUpdate([], []) for update in updates)


def test_the_buffer_counts_seconds_when_frames_are_dropped() -> None:
    tracker = PersonTracker(10)
    play(tracker, range(10))
    assert tracker.update(Detections.none(), 24 * FRAME_US).ended == [1]


def test_the_buffer_counts_seconds_at_any_rate() -> None:
    tracker = PersonTracker(25)
    for index in range(20):
        tracker.update(walker(index), index * 40_000)
    ended = [tracker.update(Detections.none(), index * 40_000).ended for index in range(20, 60)]
    assert 0.92 <= 0.04 * ended.index([1]) <= 1.08


def test_people_at_a_fast_camera_keep_their_tracks_while_four_of_five_frames_are_left_out() -> None:
    site = SimulatedSite(SiteConfig(seed=2, num_people=8, num_cameras=1, duration_s=20, fps_hz=25))
    tracker, seen, num_boxes = PersonTracker(25), set(), 0
    for index in range(0, site.num_frames, 5):
        found = noisy_detections(site.people_in("c1", index), site.config, camid="c1", index=index)
        num_boxes += len(found)
        seen.update(ids(tracker.update(found, index * 40_000)))
    # Eight people who come and go and hide each other; a tracker that counts in frames of 25 Hz makes 45 tracks.
    assert num_boxes > 400
    assert len(seen) < 20


def test_motion_goes_on_while_frames_are_dropped() -> None:
    tracker = PersonTracker(10)
    for index in range(30):
        tracker.update(walker(index, speed=12), index * FRAME_US)
    # Six frames later the person is 72 pixels on: far from the last box, near the predicted one.
    assert ids(tracker.update(walker(35, speed=12), 35 * FRAME_US)) == [1]


def test_a_gap_longer_than_the_buffer_starts_anew() -> None:
    tracker = PersonTracker(10)
    play(tracker, range(10))
    update = tracker.update(walker(9), 3600 * 1_000_000)
    assert (update.tracks, update.ended) == ([], [1])
    assert ids(tracker.update(walker(9), 3600 * 1_000_000 + FRAME_US)) == [2]


@pytest.mark.parametrize("jump_us", [-3_600_000_000, -1, 0], ids=["back-an-hour", "back-a-little", "same"])
def test_a_clock_that_is_set_back_does_not_break_tracks(jump_us: int) -> None:
    tracker = PersonTracker(10)
    play(tracker, range(10))
    offset = 9 * FRAME_US + jump_us
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updates = [tracker.update(walker(10 + i), offset + i * FRAME_US) for i in range(5)]
    assert [ids(update) for update in updates] == [[1]] * 5


@pytest.mark.parametrize(("width_px", "height_px"), [(320, 240), (1920, 1080)], ids=["smaller", "wider"])
def test_tracks_go_on_when_the_resolution_changes(width_px: int, height_px: int) -> None:
    tracker, scale = PersonTracker(10), np.array([width_px / 640, height_px / 480] * 2, np.float32)
    tracker.resize(640, 480)
    play(tracker, range(10))
    tracker.resize(width_px, height_px)
    boxes = walker(10)
    (track,) = tracker.update(Detections(boxes.xyxy * scale, boxes.scores), 10 * FRAME_US).tracks
    assert track.track_id == 1
    assert (track.box.x1, track.box.y2) == pytest.approx((90 * scale[0], 150 * scale[1]))


def test_a_size_of_before_brings_its_pixels_back() -> None:
    tracker = PersonTracker(10)
    tracker.resize(640, 480)
    play(tracker, range(10))
    tracker.resize(320, 240)
    tracker.resize(640, 480)
    assert play(tracker, range(10, 12))[-1].tracks[0].box == Box(94, 50, 134, 150)


def test_trackers_count_for_themselves() -> None:
    first, second = PersonTracker(10), PersonTracker(10)
    assert [ids(play(tracker, range(3))[-1]) for tracker in (first, second)] == [[1], [1]]


def test_a_frame_without_anybody_at_the_start_is_nothing_special() -> None:
    tracker = PersonTracker(10)
    assert tracker.update(Detections.none(), 0) == TrackUpdate([], [])
    assert ids(play(tracker, range(1, 4))[-1]) == [1]


def test_confirmation_can_be_slower() -> None:
    updates = play(PersonTracker(10, TrackingSettings(confirm_frames=4)), range(6))
    assert [ids(update) for update in updates] == [[], [], [], [1], [1], [1]]


@pytest.mark.data
def test_people_on_a_real_video_keep_their_ids(data_root: Path) -> None:
    source = open_source(str(data_root / "videos" / "intel_one-by-one-person-detection.mp4"), start_time_us=0)
    detector = open_detector(str(data_root / "detectors_onnx" / "yolox_nano_416x416.onnx"), num_threads=1)
    tracker = PersonTracker(source.frame_rate_hz)
    lengths: dict[int, int] = {}
    for _, frame in zip(range(400), iter(source.read, None), strict=False):
        if frame.index % 2:
            continue
        for track in tracker.update(detector.detect(frame), frame.time_us).tracks:
            lengths[track.track_id] = lengths.get(track.track_id, 0) + 1
    source.close()
    # One person after another crosses the room, each in view for some 15 seconds.
    assert 2 <= len(lengths) <= 3
    assert np.median(list(lengths.values())) > 60
