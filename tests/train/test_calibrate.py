from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_dataset import sample_names

from reid.embedding import normalise
from reid.metrics import Labels
from reid.types import FloatArray
from train.calibrate import calibrate, pair_similarities, pool_tracklets
from train.datasets.market1501 import parse_market_name
from train.datasets.samples import ReidSample
from train.errors import DatasetError


def samples_of(num_pids: int, num_crops: int) -> list[ReidSample]:
    return [parse_market_name(Path(name)) for name in sample_names(num_pids, num_crops)]


def noisy_people(samples: list[ReidSample], *, noise: float, seed: int = 1) -> FloatArray:
    """A direction per person, plus noise per crop."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((1 + max(s.pid for s in samples), 32))
    return normalise(np.stack([directions[s.pid] for s in samples]) + noise * rng.standard_normal((len(samples), 32)))


def test_each_pair_counts_once_and_positives_only_across_cameras() -> None:
    who = Labels(np.array([1, 1, 1, 2]), np.array([1, 1, 2, 2]))
    positive, negative = pair_similarities(np.eye(4, dtype=np.float32), who)
    assert (len(positive), len(negative)) == (2, 3)


def test_a_tracklet_is_the_mean_of_crops_spread_along_it() -> None:
    samples = samples_of(1, 30)  # two tracklets of 15 crops
    feats = noisy_people(samples, noise=1.0)
    pooled, who = pool_tracklets(feats, samples)
    wanted = normalise(feats[[0, 2, 4, 6, 8, 10, 12, 14]].mean(axis=0)[None])[0]
    np.testing.assert_allclose(pooled[0], wanted, atol=1e-6)
    assert (who.pids.tolist(), who.camids.tolist()) == ([1, 1], [1, 2])


def test_threshold_keeps_the_rate_on_tracklets() -> None:
    samples = samples_of(60, 12)
    feats = noisy_people(samples, noise=1.5)
    found = calibrate(feats, samples, rate=0.01)
    _, negative = pair_similarities(*pool_tracklets(feats, samples))
    assert np.mean(negative >= found.tracklets.similarity) <= 0.01
    assert (found.num_tracklets, found.num_pids) == (120, 60)


def test_pooling_lets_more_true_pairs_match_at_the_same_rate() -> None:
    samples = samples_of(60, 12)
    found = calibrate(noisy_people(samples, noise=1.5), samples, rate=0.01)
    assert found.tracklets.true_match_rate > found.crops.true_match_rate


def test_too_few_people_for_the_rate_are_refused() -> None:
    samples = samples_of(3, 4)
    with pytest.raises(DatasetError, match=r"12 crops of 3 identities.*cannot show a false-match rate of"):
        calibrate(noisy_people(samples, noise=1.0), samples)
