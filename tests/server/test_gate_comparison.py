from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reid.embedding import normalise
from reid.types import FloatArray
from server.gate.comparison import Measured, check_colours, check_cross, check_threshold, compare, figures_of, measure
from server.gate.measures import Tracklets, make_tracklets
from server.gate.settings import GateSettings
from server.gate.verdict import Check

SETTINGS = GateSettings()
NUM_PEOPLE, NUM_CAMERAS, CROPS, DIM = 30, 3, 2, 64
NONE = np.empty((0, 2), dtype=np.int64)


@pytest.fixture(scope="module")
def tracklets() -> Tracklets:
    """Everybody once in each camera."""
    names = np.repeat(np.arange(NUM_PEOPLE * NUM_CAMERAS), CROPS)
    return make_tracklets(names, names % NUM_CAMERAS, np.arange(len(names)), NONE, NONE)


def embedded(*, noise: float, seed: int = 0) -> FloatArray:
    """Crops around the direction of their person; the noise is the same for one seed, only its size differs."""
    rng = np.random.default_rng(3)
    centres = np.repeat(rng.standard_normal((NUM_PEOPLE, DIM)), NUM_CAMERAS * CROPS, axis=0)
    noises = np.random.default_rng([4, seed]).standard_normal(centres.shape)
    return normalise(centres + noise * noises)


def compared(parent: FloatArray, candidate: FloatArray, tracklets: Tracklets) -> dict[str, Check]:
    of_parent, of_candidate = (measure(embeddings, tracklets, SETTINGS) for embeddings in (parent, candidate))
    return {check.name: check for check in compare(of_parent, of_candidate, SETTINGS)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if not check.is_passed}


def test_less_noise_passes_every_check(tracklets: Tracklets) -> None:
    assert failed(compared(embedded(noise=1.0), embedded(noise=0.8), tracklets)) == set()


def test_a_little_more_noise_is_not_better(tracklets: Tracklets) -> None:
    checks = compared(embedded(noise=1.0), embedded(noise=1.03), tracklets)
    assert failed(checks) == {"crossing"}
    assert "not better than its parent" in checks["crossing"].reason


def test_with_one_camera_separation_must_be_better() -> None:
    names = np.repeat(np.arange(NUM_PEOPLE), NUM_CAMERAS * CROPS)
    alone = make_tracklets(names, np.zeros_like(names), np.arange(len(names)), NONE, NONE)
    checks = compared(embedded(noise=1.0), embedded(noise=1.03), alone)
    assert "crossing" not in checks
    assert "not better than its parent" in checks["separation"].reason
    assert compared(embedded(noise=1.0), embedded(noise=0.8), alone)["separation"].is_passed


def test_the_parent_itself_is_not_better(tracklets: Tracklets) -> None:
    parent = embedded(noise=1.0)
    assert failed(compared(parent, parent, tracklets)) == {"crossing"}


def test_a_collapse_fails_by_similarity_and_rank(tracklets: Tracklets) -> None:
    collapsed = normalise(embedded(noise=1.0)[:, :1] * 0.1 + np.eye(DIM)[:1])
    assert {"crossing", "separation", "retrieval", "mean_similarity", "effective_rank"} <= failed(
        compared(embedded(noise=1.0), collapsed, tracklets)
    )


def test_a_network_that_knows_cameras_only_fails_across_them(tracklets: Tracklets) -> None:
    """Each tracklet is learnt by heart, and its person forgotten."""
    rng = np.random.default_rng(9)
    by_heart = np.repeat(rng.standard_normal((NUM_PEOPLE * NUM_CAMERAS, DIM)), CROPS, axis=0)
    by_heart += 0.5 * rng.standard_normal(by_heart.shape)
    checks = compared(embedded(noise=1.0), normalise(by_heart), tracklets)
    assert checks["separation"].is_passed
    assert {"crossing", "agreement", "round_trip"} <= failed(checks)


def test_an_aligned_turn_of_the_space_is_compatible(tracklets: Tracklets) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0].astype(np.float32)
    parent = embedded(noise=0.8)
    old, new = (measure(embeddings, tracklets, SETTINGS) for embeddings in (parent, parent @ turn))
    assert check_cross(old, new, turn, tracklets, SETTINGS).is_passed
    assert not check_cross(old, new, np.eye(DIM, dtype=np.float32), tracklets, SETTINGS).is_passed


def test_exchanged_colours_may_not_serve_better() -> None:
    usual = np.random.default_rng(1).normal(4.0, 1.0, 50)
    assert check_colours(usual, usual - 0.5, SETTINGS).is_passed
    assert not check_colours(usual, usual + 0.5, SETTINGS).is_passed


@pytest.mark.parametrize(
    ("match", "wrong"), [(0.3, set()), (-0.5, {"threshold_false_matches"}), (0.99, {"threshold_recall"})]
)
def test_a_threshold_that_matches_all_or_none_is_refused(tracklets: Tracklets, match: float, wrong: set[str]) -> None:
    measured = measure(embedded(noise=0.8), tracklets, SETTINGS)
    checks = check_threshold(measured, 0.3, measured, match, SETTINGS)
    assert {check.name for check in checks if not check.is_passed} == wrong


def test_a_threshold_need_not_let_more_match_than_that_of_the_parent(tracklets: Tracklets) -> None:
    measured = measure(embedded(noise=0.8), tracklets, SETTINGS)
    strict = float(np.quantile(measured.within, 0.6))
    assert all(check.is_passed for check in check_threshold(measured, strict, measured, strict, SETTINGS))
    assert not all(check.is_passed for check in check_threshold(measured, 0.3, measured, strict, SETTINGS))


def test_figures_are_named_after_the_release(tracklets: Tracklets) -> None:
    measured: Measured = measure(embedded(noise=0.1), tracklets, SETTINGS)
    figures = figures_of("parent", measured, SETTINGS)
    assert figures["parent_tracklet_r1"] == 1.0
    assert all(np.isfinite(value) for value in figures.values())


def test_one_camera_without_pairs_is_judged_within_it() -> None:
    names = np.repeat(np.arange(NUM_PEOPLE), CROPS)
    alone = make_tracklets(names, np.ones_like(names), np.arange(len(names)), NONE, NONE)
    rows = np.arange(len(names))
    assert failed(compared(embedded(noise=1.0)[rows * 3], embedded(noise=0.7)[rows * 3], alone)) == set()


@pytest.mark.parametrize(("seed", "is_chance"), [(1, True), (3, False)], ids=["small", "large"])
def test_a_fall_that_may_be_chance_is_passed_and_said(tracklets: Tracklets, seed: int, is_chance: bool) -> None:
    few = tracklets.subset(8)
    parent, candidate = (measure(embedded(noise=2.0, seed=each), few, SETTINGS) for each in (0, seed))
    checks = {check.name: check for check in compare(parent, candidate, GateSettings(agreement_margin=0.0))}
    assert checks["agreement"].value is not None
    assert checks["agreement"].value < 0
    assert checks["agreement"].is_passed == is_chance
    assert ("may be chance" in checks["agreement"].reason) == is_chance


def test_a_single_lost_tracklet_is_no_reason(tracklets: Tracklets) -> None:
    few = tracklets.subset(9)
    parent, candidate = (measure(embedded(noise=0.5, seed=seed), few, SETTINGS) for seed in (0, 0))
    candidate.is_found[0] = False
    check = next(check for check in compare(parent, candidate, SETTINGS) if check.name == "negative_flips")
    assert check.is_passed
    assert check.value == pytest.approx(1 / 9)


def test_a_candidate_may_lose_about_as_many_tracklets_as_it_finds_anew(tracklets: Tracklets) -> None:
    measured = measure(embedded(noise=1.0), tracklets, SETTINGS)
    places = np.arange(len(tracklets))

    def flips(*, lost: int, gained: int) -> Check:
        parent = replace(measured, is_found=places >= gained)
        candidate = replace(measured, is_found=places < len(tracklets) - lost)
        return next(check for check in compare(parent, candidate, SETTINGS) if check.name == "negative_flips")

    assert flips(lost=4, gained=0).is_passed
    assert not flips(lost=5, gained=0).is_passed
    assert flips(lost=9, gained=8).is_passed
    assert not flips(lost=18, gained=4).is_passed
