from __future__ import annotations

import numpy as np
import pytest

from reid.types import FloatArray
from server.adaptation.drift import border_share, drifts, histogram, similarities
from server.adaptation.settings import DriftSettings
from server.types import Tracklet

SETTINGS = DriftSettings(least_tracklets=50)


def tracklet(key: int, person_id: int, *numbers: float, camera_key: int = 1) -> Tracklet:
    return Tracklet(
        tracklet_key=key,
        camera_key=camera_key,
        tracklet_id=key,
        start_us=0,
        end_us=1,
        num_observations=1,
        weight=1.0,
        space="tiny-1",
        embedding_sum=np.array(numbers, dtype=np.float32),
        person_id=person_id,
    )


def sample(mean: float, num: int = 400, *, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    values: FloatArray = rng.normal(mean, 0.05, num)
    return [float(value) for value in values]


def found(then: list[float], now: list[float], settings: DriftSettings = SETTINGS) -> list[str]:
    return drifts({"edge/a": histogram(then)}, {"edge/a": histogram(now)}, threshold=0.5, settings=settings)


def test_a_tracklet_is_compared_with_the_rest_of_its_person() -> None:
    seen = [tracklet(1, 1, 1, 0), tracklet(2, 1, 2, 2, camera_key=2), tracklet(3, 2, 0, 1)]
    assert similarities(seen) == {1: [pytest.approx(0.5**0.5)], 2: [pytest.approx(0.5**0.5)]}


def test_the_same_distribution_has_not_drifted() -> None:
    assert found(sample(0.8), sample(0.8, seed=1)) == []


def test_lower_similarities_are_drift() -> None:
    (told,) = found(sample(0.8), sample(0.75, seed=1))
    assert told.startswith("camera edge/a: similarities shifted by 0.4")


def test_more_tracklets_at_the_threshold_are_drift() -> None:
    settings = DriftSettings(least_tracklets=50, similarity_shift=0)
    now = sample(0.8, 300) + sample(0.5, 100)
    (told,) = found(sample(0.8), now, settings)
    assert "near the threshold" in told


def test_too_few_tracklets_say_nothing() -> None:
    assert found(sample(0.8), sample(0.2, 49)) == []


def test_chance_is_not_taken_for_drift() -> None:
    settings = DriftSettings(least_tracklets=50, similarity_shift=0.01, border_rise=0)
    assert not any(found(sample(0.8, 60, seed=n), sample(0.8, 60, seed=n + 1000), settings) for n in range(20))


def test_the_border_lies_around_the_threshold() -> None:
    assert border_share(np.asarray(histogram([0.5, 0.54, 0.46, 0.8])), 0.5, 0.05) == 0.75
