from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.types import FloatArray, IntArray
from server.gallery.exact import ExactGallery
from server.gallery.gallery import NO_HIT

DIM = 16


def unit_vectors(count: int, *, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def keys(*numbers: int) -> IntArray:
    return np.array(numbers, dtype=np.int64)


def filled(count: int) -> tuple[ExactGallery, FloatArray]:
    gallery, vectors = ExactGallery(DIM), unit_vectors(count)
    gallery.upsert(np.arange(count) * 10, vectors)
    return gallery, vectors


def test_the_nearest_come_first_with_their_cosines() -> None:
    gallery, vectors = filled(50)
    hits = gallery.search(vectors[:3], top=5)
    exact_QG = vectors[:3] @ vectors.T
    assert np.array_equal(hits.keys_QK, np.argsort(-exact_QG, axis=1)[:, :5] * 10)
    assert np.allclose(hits.similarities_QK, -np.sort(-exact_QG, axis=1)[:, :5], atol=2e-3)


def test_an_upsert_of_a_known_key_replaces_its_vector() -> None:
    gallery, vectors = filled(5)
    fresh = unit_vectors(1, seed=9)
    gallery.upsert(keys(30), fresh)
    assert len(gallery) == 5
    assert gallery.search(fresh, top=1).keys_QK.tolist() == [[30]]
    assert gallery.search(vectors[3:4], top=1).similarities_QK[0, 0] < 0.99


def test_removed_vectors_are_never_found_and_unknown_keys_change_nothing() -> None:
    gallery, vectors = filled(5)
    gallery.remove([0, 40, 77])
    hits = gallery.search(vectors, top=5)
    assert set(hits.keys_QK.ravel().tolist()) == {10, 20, 30}
    assert hits.keys_QK[1, 0] == 10


def test_an_empty_gallery_answers_with_no_hit() -> None:
    hits = ExactGallery(DIM).search(unit_vectors(2), top=3)
    assert hits.keys_QK.tolist() == [[NO_HIT]] * 2
    assert np.isneginf(hits.similarities_QK).all()


def test_no_query_gives_no_answer() -> None:
    assert filled(3)[0].search(np.empty((0, DIM), dtype=np.float32), top=2).keys_QK.shape == (0, 2)


def test_replace_forgets_everything_else() -> None:
    gallery, vectors = filled(5)
    gallery.replace(keys(7), vectors[2:3])
    assert gallery.search(vectors[2:3], top=4).keys_QK.tolist() == [[7]]
    gallery.replace(keys(), np.empty((0, DIM), dtype=np.float32))
    assert len(gallery) == 0


def test_it_grows_beyond_its_first_size() -> None:
    gallery, vectors = filled(3000)
    assert gallery.search(vectors[2999:], top=1).keys_QK.tolist() == [[29990]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["upsert", "remove"]), st.integers(0, 5), st.integers(0, 99)), max_size=30))
def test_it_behaves_like_a_dictionary(operations: list[tuple[str, int, int]]) -> None:
    gallery, vectors = ExactGallery(DIM), unit_vectors(100)
    model: dict[int, int] = {}
    for kind, key, row in operations:
        if kind == "upsert":
            gallery.upsert(keys(key), vectors[row : row + 1])
            model[key] = row
        else:
            gallery.remove([key])
            model.pop(key, None)
    assert len(gallery) == len(model)
    for key, row in model.items():
        hits = gallery.search(vectors[row : row + 1], top=6)
        assert key in hits.keys_QK[0][hits.similarities_QK[0] > 0.999]


@pytest.mark.parametrize("top", [1, 4])
def test_top_limits_the_hits(top: int) -> None:
    assert filled(9)[0].search(unit_vectors(1), top=top).keys_QK.shape == (1, top)
