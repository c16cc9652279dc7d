from __future__ import annotations

import numpy as np
import pytest

from reid.embedding import normalise
from server.gate.measures import (
    Tracklets,
    Views,
    agreements,
    apart_similarities,
    bootstrap_mean,
    crossings,
    d_prime,
    effective_rank,
    false_match_rate,
    make_tracklets,
    mean_similarity,
    own_ranks,
    round_trips,
    separations,
    view,
)

NONE = np.empty((0, 2), dtype=np.int64)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def pairs(*values: tuple[int, int]) -> np.ndarray:
    return np.array(values, dtype=np.int64).reshape(-1, 2)


def two_crops_each(camids: list[int], *, apart: np.ndarray = NONE, together: np.ndarray = NONE) -> Tracklets:
    """Tracklet t has the crops 2 t and 2 t + 1."""
    names = np.repeat(np.arange(len(camids)), 2)
    return make_tracklets(names, np.repeat(ints(*camids), 2), np.arange(2 * len(camids)), apart, together)


def people(rng: np.random.Generator, camids: list[int], pids: list[int], *, noise: float) -> tuple[Tracklets, Views]:
    """Two crops of every tracklet, around its person's own direction."""
    tracklets = two_crops_each(camids)
    centres = normalise(rng.standard_normal((max(pids) + 1, 32)).astype(np.float32))
    crops = centres[np.repeat(pids, 2)] + rng.normal(0, noise, (2 * len(pids), 32)).astype(np.float32)
    return tracklets, view(normalise(crops), tracklets)


def test_head_and_tail_are_the_first_and_the_last_third_in_time() -> None:
    tracklets = make_tracklets(ints(7, 7, 7, 7, 7, 7), ints(1, 1, 1, 1, 1, 1), ints(50, 10, 20, 60, 40, 30), NONE, NONE)
    assert tracklets.heads[0].tolist() == [1, 2]
    assert tracklets.tails[0].tolist() == [0, 3]


def test_a_tracklet_of_one_crop_is_left_out_with_its_pairs() -> None:
    apart = pairs((4, 5), (4, 9))
    tracklets = make_tracklets(ints(4, 4, 5, 9, 9), ints(1, 1, 1, 1, 1), ints(0, 1, 2, 3, 4), apart, NONE)
    assert len(tracklets) == 2
    assert tracklets.apart.tolist() == [[0, 1]]


def test_others_are_of_the_same_camera_and_not_known_to_be_the_same_person() -> None:
    tracklets = two_crops_each([1, 1, 1, 2], together=pairs((2, 0)))
    assert tracklets.others[0].tolist() == [False, True, False, False]


def test_a_subset_keeps_crops_and_cameras_together() -> None:
    some = two_crops_each([1, 2, 3, 4, 5]).subset(3)
    assert some.camids_T.tolist() == [1, 3, 5]
    assert [rows.tolist() for rows in some.members] == [[0, 1], [4, 5], [8, 9]]
    assert some.num_crops == 6


def test_own_ranks_count_better_and_equal_tails_of_the_camera_only() -> None:
    tracklets = two_crops_each([1, 1, 1, 2])
    heads = normalise(np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32))
    tails = normalise(np.array([[1, 1], [1, 0], [0, 1], [1, 0]], dtype=np.float32))
    assert own_ranks(heads, tails, tracklets).tolist() == [2, 1, 1, 1]


def test_a_network_that_sees_everybody_alike_finds_nobody() -> None:
    tracklets = two_crops_each([1, 1, 1, 1])
    alike = np.ones((4, 2), dtype=np.float32) / np.sqrt(2, dtype=np.float32)
    assert own_ranks(alike, alike, tracklets).tolist() == [4, 4, 4, 4]
    assert separations(alike, alike, tracklets).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_separation_is_in_standard_deviations_of_the_others() -> None:
    tracklets = two_crops_each([1, 1, 1])
    heads = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    tails = np.array([[1, 0], [0.6, 0.8], [0.2, np.sqrt(0.96)]], dtype=np.float32)
    # To the first head the others have 0.6 and 0.2: mean 0.4, standard deviation 0.2.
    assert separations(heads, tails, tracklets)[0] == pytest.approx(3.0, abs=1e-6)


def test_separation_is_unknown_without_two_others_in_the_camera() -> None:
    tracklets = two_crops_each([1, 1, 2])
    same = np.eye(3, dtype=np.float32)
    assert np.isnan(separations(same, same, tracklets)).all()


def test_crossing_is_judged_by_the_tail_on_what_the_head_found() -> None:
    tracklets = two_crops_each([1, 1, 1, 2, 2])
    along = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    tails = along.copy()
    tails[0] = (0.8, 0.4, np.sqrt(0.2))
    # The first head finds the fourth, 0.8 from its tail; the strangers' 0.4 and 0.447 have mean 0.4236, spread 0.0236.
    low, high = 0.4, np.sqrt(0.2)
    wanted = (0.8 - (low + high) / 2) / ((high - low) / 2)
    assert crossings(Views(along, tails, along), tracklets)[0] == pytest.approx(wanted, rel=1e-4)


def test_crossing_falls_when_a_network_learns_the_camera(rng: np.random.Generator) -> None:
    camids, pids = [1] * 20 + [2] * 20, [*range(20), *range(20)]
    tracklets, views = people(rng, camids, pids, noise=0.05)
    light = np.zeros((2, views.means.shape[1]), dtype=np.float32)
    light[0, 0] = light[1, 1] = 1.0
    shaded = Views(*(normalise(side + light[tracklets.camids_T - 1]) for side in views))
    assert np.nanmean(crossings(shaded, tracklets)) < np.nanmean(crossings(views, tracklets)) - 1.0


@pytest.mark.parametrize("measure", ["agreement", "round_trip"])
def test_measures_across_cameras_fall_with_noise(rng: np.random.Generator, measure: str) -> None:
    camids, pids = [1] * 20 + [2] * 20, [*range(20), *range(20)]
    found = []
    for noise in (0.02, 0.2, 1.0):
        tracklets, views = people(rng, camids, pids, noise=noise)
        values = (
            agreements(views, tracklets, num_neighbours=1) if measure == "agreement" else round_trips(views, tracklets)
        )
        found.append(float(values.mean()))
    assert found[0] == pytest.approx(1.0)
    assert found == sorted(found, reverse=True)


def test_measures_across_cameras_are_unknown_with_one_camera(rng: np.random.Generator) -> None:
    tracklets, views = people(rng, [1] * 5, [0, 1, 2, 3, 4], noise=0.1)
    assert np.isnan(agreements(views, tracklets, num_neighbours=2)).all()
    assert np.isnan(round_trips(views, tracklets)).all()
    assert np.isnan(crossings(views, tracklets)).all()


def test_agreement_is_unknown_with_fewer_tracklets_than_neighbours(rng: np.random.Generator) -> None:
    tracklets, views = people(rng, [1, 2], [0, 0], noise=0.1)
    assert np.isnan(agreements(views, tracklets, num_neighbours=3)).all()


def test_apart_similarities_take_the_known_pairs_both_ways() -> None:
    heads = np.eye(3, dtype=np.float32)
    tails = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)
    known = two_crops_each([1, 1, 1], apart=pairs((0, 1)))
    assert apart_similarities(heads, tails, known).tolist() == pytest.approx([0.6, 0.0])
    assert len(apart_similarities(heads, tails, two_crops_each([1, 1, 1]))) == 6


def test_false_match_rate_is_that_at_the_recall() -> None:
    within = np.linspace(0.5, 0.9, 101).astype(np.float32)
    apart = np.array([0.4, 0.51, 0.55, 0.8], dtype=np.float32)
    assert false_match_rate(within, apart, recall=0.9) == pytest.approx(0.5)


def test_d_prime_by_hand() -> None:
    within, apart = np.array([0.8, 1.0], dtype=np.float32), np.array([0.2, 0.4], dtype=np.float32)
    assert d_prime(within, apart) == pytest.approx(6.0, rel=1e-5)
    assert d_prime(np.ones(2, dtype=np.float32), np.zeros(2, dtype=np.float32)) == 0.0


def test_mean_similarity_leaves_a_tracklet_out_of_its_own_mean() -> None:
    assert mean_similarity(np.eye(3, dtype=np.float32)) == pytest.approx(0.0, abs=1e-9)
    assert mean_similarity(np.ones((3, 1), dtype=np.float32)) == pytest.approx(1.0)


def test_effective_rank_counts_directions(rng: np.random.Generator) -> None:
    wide = rng.standard_normal((4000, 8)).astype(np.float32)
    narrow = wide * np.array([1, 1, 0, 0, 0, 0, 0, 0], dtype=np.float32)
    assert effective_rank(wide) == pytest.approx(8, abs=0.1)
    assert effective_rank(narrow) == pytest.approx(2, abs=0.1)
    assert effective_rank(np.ones((5, 8), dtype=np.float32)) == 1.0


def test_bootstrap_interval_is_that_of_the_mean(rng: np.random.Generator) -> None:
    values = rng.normal(1.0, 2.0, 400)
    bounds = bootstrap_mean(values, confidence=0.95, num_draws=2000, seed=0)
    assert bounds.mean == pytest.approx(values.mean())
    assert bounds.high - bounds.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_bootstrap_leaves_unknown_values_out_and_wants_one() -> None:
    assert bootstrap_mean(np.array([2.0, np.nan]), confidence=0.9, num_draws=100, seed=0) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="no tracklet"):
        bootstrap_mean(np.array([np.nan]), confidence=0.9, num_draws=100, seed=0)
