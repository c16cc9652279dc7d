from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from fakes_stream import ServerParts, batch, observation, served_by

from reid.release import Release
from server.confidence import Confidence
from server.matching.confidence import LEAST_OF_EACH, fit_confidence
from server.search import PersonSearch


def comparisons(rng: np.random.Generator, *, num: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Similarities that are right as often as a curve of slope 20 with its middle at 0.7 says."""
    similarities = rng.uniform(0.3, 1.0, num)
    return similarities, rng.uniform(size=num) < 1 / (1 + np.exp(-20 * (similarities - 0.7)))


def test_the_curve_that_made_the_comparisons_is_found(rng: np.random.Generator) -> None:
    similarities, is_right = comparisons(rng)
    curve = fit_confidence(similarities, is_right)
    assert curve is not None
    assert curve.middle == pytest.approx(0.7, abs=0.01)
    assert curve.slope == pytest.approx(20, rel=0.15)
    assert curve.of(0.7) == pytest.approx(0.5, abs=0.05)
    assert (curve.num_right, curve.num_right + curve.num_wrong) == (int(is_right.sum()), len(is_right))


def test_a_confidence_is_the_share_that_was_right(rng: np.random.Generator) -> None:
    curve = fit_confidence(*comparisons(rng))
    similarities, is_right = comparisons(rng)
    assert curve is not None
    for low in (0.5, 0.6, 0.7, 0.8):
        inside = (similarities >= low) & (similarities < low + 0.1)
        assert curve.of(low + 0.05) == pytest.approx(is_right[inside].mean(), abs=0.06)


def test_clean_comparisons_do_not_make_anyone_sure() -> None:
    similarities = np.array([0.2] * LEAST_OF_EACH + [0.9] * LEAST_OF_EACH)
    curve = fit_confidence(similarities, similarities > 0.5)
    assert curve is not None
    assert 0.5 < curve.of(0.9) < 0.95


@pytest.mark.parametrize("num_right", [0, LEAST_OF_EACH - 1])
def test_too_few_comparisons_give_no_curve(num_right: int) -> None:
    is_right = np.arange(100) < num_right
    assert fit_confidence(np.linspace(0, 1, 100), is_right) is None


def test_where_more_alike_is_more_often_wrong_there_is_no_curve() -> None:
    similarities = np.linspace(0, 1, 100)
    assert fit_confidence(similarities, similarities < 0.5) is None


@pytest.fixture
def confidence(parts: ServerParts, tiny_release: Release) -> Confidence:
    """Six people in two cameras."""
    for person in range(6):
        for camera in range(2):
            at = [observation(person, camid=f"cam{camera}", tracklet_id=person + 1, time_s=100 * person + 50 * camera)]
            parts.ingest.step([batch(1 + 2 * person + camera, *at)])
    served = served_by(parts, tiny_release)
    read_views = partial(parts.summaries.read_views, most_per_person=8)
    search = PersonSearch(served, read_views, lambda person_id: True)
    return Confidence(search, read_views, parts.summaries, served, newest=lambda most: list(range(1, most)))


def test_searches_for_known_persons_in_other_cameras_make_the_curve(confidence: Confidence) -> None:
    assert confidence.is_stale
    assert confidence.curve() is None
    confidence.measure()
    curve = confidence.curve()
    assert curve is not None
    assert not confidence.is_stale
    assert (curve.num_right, curve.num_wrong) == (12, 60)
    assert curve.of(1.0) > 0.8 > 0.2 > curve.of(0.0)
