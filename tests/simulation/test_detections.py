import numpy as np
import pytest

from reid.types import Box
from simulation.detections import DetectionNoise, noisy_detections
from simulation.site import SimulatedPerson, SiteConfig

SITE = SiteConfig(seed=1)
PERFECT = DetectionNoise(jitter=0.0, miss_rate=0.0, ghost_rate=0.0, least_visible=0.0)
SEEN = SimulatedPerson(1, Box(100, 100, 160, 250), 1.0)
HALF_HIDDEN = SimulatedPerson(2, Box(300, 90, 360, 240), 0.5)


def detect(people, index=0, noise=None, camid="c1"):
    return noisy_detections(people, SITE, camid=camid, index=index, noise=noise)


def test_a_perfect_detector_gives_the_truth_best_score_first():
    found = detect([HALF_HIDDEN, SEEN], noise=PERFECT)
    assert np.array_equal(found.xyxy, np.array([SEEN.box, HALF_HIDDEN.box], dtype=np.float32))
    assert found.scores[0] > found.scores[1]


def test_a_frame_is_always_detected_alike():
    one, two = detect([SEEN, HALF_HIDDEN], 7), detect([SEEN, HALF_HIDDEN], 7)
    assert np.array_equal(one.xyxy, two.xyxy)
    assert not np.array_equal(one.xyxy, detect([SEEN, HALF_HIDDEN], 8).xyxy)
    assert not np.array_equal(one.xyxy, detect([SEEN, HALF_HIDDEN], 7, camid="c2").xyxy)


def test_boxes_stay_near_the_truth():
    noise = DetectionNoise(ghost_rate=0.0)
    ious = [Box(*box).iou(SEEN.box) for index in range(200) for box in detect([SEEN], index, noise).xyxy]
    assert min(ious) > 0.6
    assert np.mean(ious) > 0.9


def test_hidden_people_are_missed_more_often():
    noise = DetectionNoise(ghost_rate=0.0)
    seen = sum(len(detect([SEEN], index, noise)) for index in range(300))
    hidden = sum(len(detect([HALF_HIDDEN], index, noise)) for index in range(300))
    assert 280 < seen <= 300
    assert 200 < hidden < seen


def test_who_is_hardly_visible_is_never_found():
    ghostly = SimulatedPerson(3, Box(10, 10, 60, 160), 0.1)
    assert all(len(detect([ghostly], index, DetectionNoise(ghost_rate=0.0))) == 0 for index in range(50))


def test_ghosts_come_at_their_rate():
    found = [detect([], index, DetectionNoise(ghost_rate=0.2)) for index in range(400)]
    assert 50 < sum(map(len, found)) < 110
    assert max(detections.scores.max() for detections in found if len(detections)) < 0.6


@pytest.mark.parametrize("box", [Box(0, 0, 50, 359), Box(600, 200, 640, 360)], ids=["left top", "right bottom"])
def test_boxes_are_cut_to_the_frame(box):
    noise = DetectionNoise(jitter=0.2, miss_rate=0.0, ghost_rate=0.0)
    for index in range(30):
        xyxy = detect([SimulatedPerson(1, box, 1.0)], index, noise).xyxy
        assert (xyxy >= 0).all()
        assert (xyxy <= [640, 360, 640, 360]).all()
