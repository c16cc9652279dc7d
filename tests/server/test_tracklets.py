from __future__ import annotations

import numpy as np
import pytest
from fakes_stream import SECOND_US, look, observation

from reid.types import Observation
from server.matching.tracklets import (
    MaturitySettings,
    growth,
    is_young,
    mean_embedding,
    new_tracklet,
    overlap,
    pool,
    share,
)
from server.types import CameraSpan, Tracklet, TrackletName


def pooled(*observations: Observation, camera_key: int = 1) -> Tracklet:
    tracklet = new_tracklet(TrackletName(camera_key, 1, "s"), observations[0], tracklet_key=1)
    pool(tracklet, observations)
    return tracklet


def test_the_mean_is_weighted_by_quality() -> None:
    tracklet = pooled(observation(0, quality=0.8), observation(1, quality=0.6))
    expected = 0.8 * look(0) + 0.6 * look(1)
    assert np.allclose(mean_embedding(tracklet), expected / np.linalg.norm(expected), atol=1e-6)
    assert tracklet.weight == pytest.approx(1.4)


def test_pooling_in_steps_equals_pooling_at_once() -> None:
    observations = [observation(i % 3, time_s=i, quality=0.1 * i) for i in range(8)]
    stepwise = pooled(*observations[:1])
    for item in observations[1:]:
        pool(stepwise, [item])
    whole = pooled(*observations)
    assert np.allclose(stepwise.embedding_sum, whole.embedding_sum, atol=1e-6)
    assert (stepwise.start_us, stepwise.end_us, stepwise.num_observations) == (0, 7 * SECOND_US, 8)


def test_observations_of_no_quality_still_have_a_direction() -> None:
    assert np.allclose(mean_embedding(pooled(observation(2, quality=0.0))), look(2))


def test_embeddings_that_cancel_are_like_nobody() -> None:
    tracklet = pooled(observation(0))
    tracklet.embedding_sum -= look(0)
    assert not mean_embedding(tracklet).any()


def test_late_observations_widen_the_span_backwards() -> None:
    tracklet = pooled(observation(time_s=5), observation(time_s=3))
    assert (tracklet.start_us, tracklet.end_us) == (3 * SECOND_US, 5 * SECOND_US)


@pytest.mark.parametrize(
    ("times_s", "covered_s"),
    [([9], (5, 9)), ([1, 9], (1, 9)), ([1], (1, 3)), ([4], (4, 4))],
    ids=["on", "both", "back", "within"],
)
def test_growth_is_what_a_tracklet_covers_anew(times_s: list[float], covered_s: tuple[int, int]) -> None:
    tracklet = pooled(observation(time_s=3), observation(time_s=5))
    came = growth(tracklet, [observation(time_s=time_s) for time_s in times_s])
    assert came == CameraSpan(1, covered_s[0] * SECOND_US, covered_s[1] * SECOND_US)


def test_the_last_observation_closes_a_tracklet_for_good() -> None:
    assert pooled(observation(is_last=True), observation()).is_closed


@pytest.mark.parametrize(
    ("count", "quality", "young"),
    [(1, 1.0, True), (3, 1.0, False), (3, 0.2, True), (12, 0.01, False)],
    ids=["few", "enough", "poor", "many though poor"],
)
def test_young_means_few_or_poor(count: int, quality: float, young: bool) -> None:
    assert is_young(pooled(*[observation(quality=quality)] * count), MaturitySettings()) is young


@pytest.mark.parametrize(
    ("count", "weight", "clear"), [(1, 1.0, True), (2, 0.9, False), (12, 0.1, True)], ids=["good", "poor", "many"]
)
def test_clear_means_good_or_many(count: int, weight: float, clear: bool) -> None:
    assert MaturitySettings().is_clear(count, weight) is clear


def test_young_tracklets_count_less() -> None:
    assert share(pooled(observation(quality=0.25)), MaturitySettings()) == pytest.approx(0.25)
    assert share(pooled(*[observation()] * 5), MaturitySettings()) == 1.0


def test_overlap_needs_one_camera_and_one_moment() -> None:
    early, late = pooled(observation(time_s=0), observation(time_s=2)), pooled(observation(time_s=2))
    assert overlap(early, late)
    assert not overlap(early, pooled(observation(time_s=2.1)))
    assert not overlap(early, pooled(observation(time_s=1), camera_key=2))
    assert not overlap(early, early)
