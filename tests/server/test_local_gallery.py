from __future__ import annotations

import numpy as np
import pytest

from reid.embedding import normalise
from reid.types import FloatArray, IntArray
from server.gallery.local import LocalGallery
from server.gallery.settings import SketchSettings
from server.types import Scope

DIM = 64
PEOPLE, VIEWS = 100, 10


def views(*, seed: int) -> FloatArray:
    """Ten views of each of a hundred people, unit norm, all near one common direction."""
    people = np.random.default_rng(1).standard_normal((PEOPLE, DIM)).repeat(VIEWS, axis=0) + 1
    noisy = people + 0.5 * np.random.default_rng(seed).standard_normal(people.shape)
    return normalise(noisy.astype(np.float32))


def spans(count: int) -> IntArray:
    """Row n is in camera n % 4."""
    rows = np.arange(count)
    return np.stack([rows % 4, rows, rows], axis=1)


@pytest.fixture
def sketched() -> LocalGallery:
    gallery = LocalGallery(DIM, SketchSettings(sketch_from=50, shortlist=100))
    gallery.replace(np.arange(PEOPLE * VIEWS), views(seed=2), spans(PEOPLE * VIEWS))
    return gallery


@pytest.fixture
def compared() -> LocalGallery:
    """All vectors are compared."""
    gallery = LocalGallery(DIM)
    gallery.replace(np.arange(PEOPLE * VIEWS), views(seed=2), spans(PEOPLE * VIEWS))
    return gallery


def recall(sketched: LocalGallery, compared: LocalGallery, scope: Scope) -> float:
    queries = views(seed=3)[::VIEWS]
    answers = [gallery.search(queries, top=5, scope=scope).keys_QK for gallery in (sketched, compared)]
    return float(np.mean([len(np.intersect1d(*pair)) / 5 for pair in zip(*answers, strict=True)]))


@pytest.mark.parametrize("cameras", [{0, 1, 2, 3}, {1, 3}], ids=["everything", "two cameras"])
def test_sketches_lose_almost_no_neighbour(sketched: LocalGallery, compared: LocalGallery, cameras: set[int]) -> None:
    assert recall(sketched, compared, Scope(camera_keys=frozenset(cameras))) >= 0.99


def test_a_scope_is_kept_when_sketches_choose(sketched: LocalGallery) -> None:
    hits = sketched.search(views(seed=3)[:20], top=10, scope=Scope(camera_keys=frozenset({2})))
    assert set((hits.keys_QK % 4).ravel().tolist()) == {2}


def test_sketches_follow_what_is_upserted_and_removed(sketched: LocalGallery) -> None:
    changed, vectors = np.arange(300, 400), views(seed=4)
    sketched.upsert(changed, vectors[600:700], spans(100))
    sketched.remove(range(200))
    sketched.upsert(np.arange(1000, 1050), vectors[:50], spans(50))
    hits = sketched.search(vectors[[605, 7]], top=1)
    assert hits.keys_QK.ravel().tolist() == [305, 1007]
    assert np.allclose(hits.similarities_QK, 1, atol=2e-3)
    assert not np.isin(sketched.search(vectors, top=20).keys_QK, np.arange(200)).any()


def test_vectors_that_come_one_by_one_are_found_as_well(compared: LocalGallery) -> None:
    gallery = LocalGallery(DIM, SketchSettings(sketch_from=500, shortlist=10))
    vectors = views(seed=2)
    for row in range(len(vectors)):
        gallery.upsert(np.array([row]), vectors[row : row + 1], spans(1))
    assert recall(gallery, compared, Scope()) >= 0.99


def test_a_hit_wanted_widens_the_shortlist(sketched: LocalGallery, compared: LocalGallery) -> None:
    query = views(seed=3)[:1]
    assert np.array_equal(sketched.search(query, top=200).keys_QK, compared.search(query, top=200).keys_QK)
