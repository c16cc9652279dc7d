from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.embedding import normalise
from reid.types import FloatArray
from server.crops.selection import Candidate, CropView, best_views, fair_shares, select, select_rows
from server.crops.settings import Strategy
from server.crops.strategies import order_tracklets

ALL: tuple[Strategy, ...] = ("boundary", "diverse", "random")
NO_PAIRS = np.empty((0, 2), dtype=np.int64)


def people(num_people: int, per_person: int, *, spread: float = 0.15, dim: int = 64, seed: int = 0) -> FloatArray:
    """Embeddings of people, those of one person behind one another."""
    rng = np.random.default_rng(seed)
    faces = np.repeat(rng.normal(size=(num_people, dim)), per_person, axis=0)
    return normalise(faces + spread * rng.normal(size=faces.shape))


def candidates(embeddings: FloatArray, *, cameras: Sequence[int], num_views: int = 3) -> list[Candidate]:
    return [
        Candidate(
            row,
            cameras[row % len(cameras)],
            embedding,
            tuple(CropView(1, 100 * row + seq, 0.1 * seq, 10_000 * row + seq) for seq in range(num_views)),
        )
        for row, embedding in enumerate(embeddings)
    ]


def chosen(strategy: Strategy, site: list[Candidate], max_crops: int, per_tracklet: int = 2) -> list[int]:
    rng = np.random.default_rng(0)
    wanted = select(site, strategy=strategy, max_crops=max_crops, rng=rng, crops_per_tracklet=per_tracklet)
    return [crop.tracklet for crop in wanted]


@pytest.mark.parametrize("strategy", ALL)
def test_no_camera_gets_more_than_its_share_while_others_have_some(strategy: Strategy) -> None:
    site = candidates(people(20, 10), cameras=[1, 1, 1, 1, 1, 1, 1, 2, 2, 3])
    camera_of = {candidate.tracklet: candidate.camera_key for candidate in site}
    crops = Counter(camera_of[tracklet] for tracklet in chosen(strategy, site, 150))
    assert crops == {1: 54, 2: 54, 3: 40}  # 150 crops: 40 are all that camera 3 has, and 55 is odd


@pytest.mark.parametrize("strategy", ALL)
def test_of_a_tracklet_two_crops_are_wanted_where_it_has_them(strategy: Strategy) -> None:
    site = candidates(people(10, 4), cameras=[1, 2])
    assert set(Counter(chosen(strategy, site, 31)).values()) == {2}


def test_all_is_wanted_when_there_is_room() -> None:
    site = candidates(people(6, 4), cameras=[1, 2])
    assert len(chosen("diverse", site, 10_000, per_tracklet=9)) == 6 * 4 * 3


def test_single_crops_are_wanted_too() -> None:
    site = candidates(people(6, 4), cameras=[1], num_views=1)
    assert len(chosen("boundary", site, 10)) == 10


@pytest.mark.parametrize("strategy", ["boundary", "diverse"])
def test_clusters_are_wanted_whole(strategy: Strategy) -> None:
    site = candidates(people(20, 6), cameras=[1])
    persons = Counter(tracklet // 6 for tracklet in set(chosen(strategy, site, 2 * 6 * 4)))
    assert sorted(persons.values()) == [6, 6, 6, 6]


def test_contested_clusters_come_together() -> None:
    """Person 1 looks nearly like person 0: the one brings the other."""
    embeddings = people(12, 6)
    embeddings[6:12] = normalise(0.8 * embeddings[6:12] + 0.6 * embeddings[0:6])
    order = list(
        order_tracklets("boundary", embeddings, np.ones(72, dtype=np.int64), NO_PAIRS, np.random.default_rng(0))
    )
    persons = list(dict.fromkeys(row // 6 for row in order))
    assert abs(persons.index(0) - persons.index(1)) == 1


def test_diverse_goes_from_one_cluster_to_the_least_alike() -> None:
    embeddings = people(3, 6)
    embeddings[6:12] = normalise(0.6 * embeddings[6:12] + 0.5 * embeddings[0:6])
    order = list(
        order_tracklets("diverse", embeddings, np.ones(18, dtype=np.int64), NO_PAIRS, np.random.default_rng(0))
    )
    persons = list(dict.fromkeys(row // 6 for row in order))
    assert persons[:2] in ([0, 2], [1, 2], [2, 0], [2, 1])


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("num_people", [0, 1, 2, 40], ids=["nobody", "one", "two", "strangers"])
def test_every_tracklet_comes_once(strategy: Strategy, num_people: int) -> None:
    embeddings = people(num_people, 1)
    cameras = np.arange(num_people) % 3
    order = list(order_tracklets(strategy, embeddings, cameras, NO_PAIRS, np.random.default_rng(0)))
    assert sorted(order) == list(range(num_people))


def test_two_of_one_camera_at_one_moment_are_no_cluster() -> None:
    pair = np.array([[0, 1]])
    order = order_tracklets("diverse", people(1, 2), np.array([1, 1]), pair, np.random.default_rng(0))
    assert sorted(order) == [0, 1]


def test_the_best_views_are_apart_in_time() -> None:
    qualities = [0.5, 0.9, 0.8, 0.1, 0.2, 0.3]
    views = [CropView(1, seq, quality, seq) for seq, quality in enumerate(qualities)]
    assert [view.seq for view in best_views(views, 2)] == [1, 5]
    assert [view.seq for view in best_views(views, 6)] == [1, 2, 0, 5, 4, 3]


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 50), max_size=6), st.integers(0, 120))
def test_shares_are_fair_and_used_up(available: dict[int, int], total: int) -> None:
    shares = fair_shares(available, total)
    assert sum(shares.values()) == min(total, sum(available.values()))
    assert all(shares[key] <= available[key] for key in available)
    unsated = [shares[key] for key in available if shares[key] < available[key]]
    assert all(share <= min(unsated) + 1 for share in shares.values() if unsated)


def test_rows_of_crops_can_be_selected_from_arrays() -> None:
    feats = people(10, 12)
    tracklets = np.repeat(np.arange(40), 3)
    rows = select_rows(
        feats,
        tracklets,
        tracklets % 2,
        np.arange(120),
        np.full(120, 0.5, dtype=np.float32),
        strategy="diverse",
        max_crops=30,
        seed=1,
        crops_per_tracklet=2,
    )
    assert len(rows) == len(set(rows.tolist())) == 28  # 15 a camera, and two of each tracklet
    assert set(Counter(tracklets[rows].tolist()).values()) == {2}
