from __future__ import annotations

import numpy as np
import pytest
from releases import write_tiny_release

from reid.embedding import normalise
from reid.release import Release
from reid.types import FloatArray, IntArray
from train.label_free_threshold import LEAST_PAIRS, LEAST_TRACKLETS, carry_threshold
from train.parent_link import EmbeddedTwice
from train.site import SiteCrops

NUM_PEOPLE = 80


def held_out(apart: IntArray) -> SiteCrops:
    """Two crops a person, one tracklet each."""
    tracklets = np.repeat(np.arange(NUM_PEOPLE), 2)
    return SiteCrops(np.empty((len(tracklets), 1, 1, 3), np.uint8), np.ones_like(tracklets), tracklets, apart)


def feats(*, shared: float) -> FloatArray:
    """Everybody has a share of one direction in common: similarities of two people are about its square."""
    rng = np.random.default_rng(0)
    own = np.repeat(normalise(rng.standard_normal((NUM_PEOPLE, 32)).astype(np.float32)), 2, axis=0)
    common = np.zeros_like(own)
    common[:, 0] = shared
    return normalise(own + common)


def all_pairs() -> IntArray:
    return np.stack(np.triu_indices(NUM_PEOPLE, k=1), axis=1).astype(np.int64)


@pytest.fixture
def parent(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return write_tiny_release(tmp_path_factory.mktemp("releases") / "parent", match=0.75)


def similarities(embedded: FloatArray, pairs: IntArray) -> FloatArray:
    means = normalise(embedded[::2])
    return np.sum(means[pairs[:, 0]] * means[pairs[:, 1]], axis=1)


def test_as_many_pairs_that_are_apart_match_as_in_the_parents_space(parent: Release) -> None:
    pairs = all_pairs()[::9]
    old, new = feats(shared=1.5), feats(shared=0.8)
    carried = carry_threshold(parent, held_out(pairs), EmbeddedTwice(old, new))
    num_before = np.count_nonzero(similarities(old, pairs) >= 0.75)
    assert num_before >= 3
    assert np.count_nonzero(similarities(new, pairs) >= carried.match - 1e-6) == num_before
    assert (
        f"lets {num_before} of {len(pairs)} pairs of held-out tracklets that overlap in one camera match" in carried.how
    )
    assert carried.match < 0.75


def test_all_pairs_stand_in_where_few_are_known_to_be_apart(parent: Release) -> None:
    old, new = feats(shared=1.2), feats(shared=0.8)
    carried = carry_threshold(parent, held_out(all_pairs()[: LEAST_PAIRS - 1]), EmbeddedTwice(old, new))
    assert f"of {len(all_pairs())} pairs of held-out tracklets match" in carried.how


def test_among_few_people_the_threshold_stays_between_the_means_of_all_pairs_and_of_ends(parent: Release) -> None:
    tracklets = np.repeat(np.arange(36), 4)  # three tracklets each of a dozen people
    site = SiteCrops(np.empty((144, 1, 1, 3), np.uint8), np.ones_like(tracklets), tracklets, np.empty((0, 2), np.int64))
    rng = np.random.default_rng(0)
    people = normalise(rng.standard_normal((12, 32)).astype(np.float32))[tracklets % 12]
    noise = rng.standard_normal((144, 32)).astype(np.float32) / np.sqrt(32).astype(np.float32)
    of_tracklet = (rng.standard_normal((36, 32)).astype(np.float32) / np.sqrt(32).astype(np.float32))[tracklets]
    common = np.eye(32, dtype=np.float32)[:1]
    old = normalise(people + 0.2 * noise + 0.5 * of_tracklet + common)
    new = normalise(people + 0.2 * noise + 0.5 * of_tracklet)
    carried = carry_threshold(parent, site, EmbeddedTwice(old, new))
    (old_all, old_ends), (new_all, new_ends) = (means_of_tracklets(feats) for feats in (old, new))
    share = (0.75 - old_all) / (old_ends - old_all)
    assert f"lies {share:.0%} of the way" in carried.how
    assert (carried.match - new_all) / (new_ends - new_all) == pytest.approx(share, abs=1e-4)
    assert carried.match < 0.6  # strangers lie far apart in the new space


def means_of_tracklets(feats: FloatArray) -> tuple[float, float]:
    """Of all pairs of 36 tracklets of four crops, and of their two ends."""
    means, (heads, tails) = (
        normalise(feats.reshape(36, 4, 32).mean(axis=1)),
        (normalise(feats.reshape(36, 2, 2, 32)[:, side].mean(axis=1)) for side in (0, 1)),
    )
    first, second = np.triu_indices(36, k=1)
    return float(np.sum(means[first] * means[second], axis=1).mean()), float(np.sum(heads * tails, axis=1).mean())


def test_the_parents_threshold_stays_where_tracklets_are_too_few(parent: Release) -> None:
    few = np.repeat(np.arange(LEAST_TRACKLETS - 1), 2)
    crops = np.empty((len(few), 1, 1, 3), np.uint8)
    site = SiteCrops(crops, np.ones_like(few), few, np.empty((0, 2), np.int64))
    carried = carry_threshold(parent, site, EmbeddedTwice(feats(shared=1.5)[: len(few)], feats(shared=0.8)[: len(few)]))
    assert carried.match == 0.75
    assert "too few held-out tracklets" in carried.how


def test_where_all_look_alike_to_the_parent_all_pairs_have_to_do(parent: Release) -> None:
    alike = feats(shared=20.0)
    carried = carry_threshold(parent, held_out(all_pairs()[:1]), EmbeddedTwice(alike, feats(shared=0.8)))
    assert f"lets {len(all_pairs())} of {len(all_pairs())} pairs of held-out tracklets match" in carried.how


def test_the_same_space_keeps_the_threshold_near(parent: Release) -> None:
    same = feats(shared=1.5)
    carried = carry_threshold(parent, held_out(all_pairs()), EmbeddedTwice(same, same))
    assert carried.match == pytest.approx(0.75, abs=0.02)
