"""What every gallery must do, on each implementation and on a real Milvus server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.instruments.milvus_server import MilvusServerError, milvus_server
from reid.embedding import normalise
from reid.types import FloatArray, IntArray
from server.gallery.gallery import NO_HIT, Gallery
from server.gallery.local import LocalGallery
from server.gallery.milvus import MilvusGallery
from server.gallery.settings import GallerySettings, SketchSettings
from server.types import Scope

DIM = 16
OPERATIONS = st.tuples(st.sampled_from(["upsert", "remove"]), st.integers(0, 9), st.integers(0, 99))
SKETCHES = SketchSettings(sketch_from=4, shortlist=10)


def unit_vectors(count: int, *, seed: int = 0) -> FloatArray:
    return normalise(np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32))


def keys(*numbers: int) -> IntArray:
    return np.array(numbers, dtype=np.int64)


def spans(count: int) -> IntArray:
    """Row n: camera n % 3, from 100 n to 100 n + 50."""
    rows = np.arange(count)
    return np.stack([rows % 3, 100 * rows, 100 * rows + 50], axis=1)


Open = Callable[[str], Gallery]


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with milvus_server(tmp_path_factory.mktemp("milvus")) as (url, _):
            yield url
    except MilvusServerError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["compared", "sketched", "milvus_lite", pytest.param("milvus_server", marks=pytest.mark.slow)])
def open_gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the gallery of a space; twice the same one."""

    def open_one(space: str) -> Gallery:
        match request.param:
            case "compared":
                return LocalGallery(DIM)
            case "sketched":
                return LocalGallery(DIM, SKETCHES)
            case "milvus_lite":
                return MilvusGallery(DIM, GallerySettings(url=str(tmp_path / "lite.db")), space=space)
        url = request.getfixturevalue("milvus_url")
        return MilvusGallery(DIM, GallerySettings(url=url), space=f"{tmp_path.name}-{space}")

    return open_one


@pytest.fixture
def gallery(open_gallery: Open) -> Iterator[Gallery]:
    opened = open_gallery("space")
    yield opened
    opened.close()


def fill(gallery: Gallery, count: int) -> FloatArray:
    """Keys are 0, 10, 20 and so on."""
    vectors = unit_vectors(count)
    gallery.upsert(np.arange(count) * 10, vectors, spans(count))
    return vectors


@pytest.mark.timeout(400)
class TestGallery:
    def test_the_nearest_come_first_with_their_cosines(self, gallery: Gallery) -> None:
        vectors = fill(gallery, 50)
        hits = gallery.search(vectors[:3], top=5)
        exact_QG = vectors[:3] @ vectors.T
        assert np.array_equal(hits.keys_QK, np.argsort(-exact_QG, axis=1)[:, :5] * 10)
        assert np.allclose(hits.similarities_QK, -np.sort(-exact_QG, axis=1)[:, :5], atol=2e-3)

    def test_an_upsert_of_a_known_key_replaces_its_vector(self, gallery: Gallery) -> None:
        vectors, fresh = fill(gallery, 5), unit_vectors(1, seed=9)
        gallery.upsert(keys(30), fresh, spans(1))
        assert len(gallery) == 5
        assert gallery.search(fresh, top=1).keys_QK.tolist() == [[30]]
        assert gallery.search(vectors[3:4], top=1).similarities_QK[0, 0] < 0.99

    def test_removed_vectors_are_never_found_and_unknown_keys_change_nothing(self, gallery: Gallery) -> None:
        vectors = fill(gallery, 5)
        gallery.remove([0, 40, 77])
        hits = gallery.search(vectors, top=5)
        assert set(hits.keys_QK.ravel().tolist()) - {NO_HIT} == {10, 20, 30}
        assert hits.keys_QK[1, 0] == 10
        assert len(gallery) == 3

    def test_an_empty_gallery_answers_with_no_hit(self, gallery: Gallery) -> None:
        hits = gallery.search(unit_vectors(2), top=3)
        assert set(hits.keys_QK.ravel().tolist()) == {NO_HIT}
        assert np.isneginf(hits.similarities_QK).all()

    def test_no_query_gives_no_answer(self, gallery: Gallery) -> None:
        fill(gallery, 5)
        assert len(gallery.search(np.empty((0, DIM), dtype=np.float32), top=2).keys_QK) == 0

    def test_nothing_upserted_or_removed_changes_nothing(self, gallery: Gallery) -> None:
        fill(gallery, 5)
        gallery.upsert(keys(), np.empty((0, DIM), dtype=np.float32), spans(0))
        gallery.remove([])
        assert len(gallery) == 5

    def test_replace_forgets_everything_else(self, gallery: Gallery) -> None:
        vectors = fill(gallery, 5)
        gallery.replace(keys(7, 20), vectors[2:4], spans(2))
        hits = gallery.search(vectors[2:3], top=4)
        assert [key for key in hits.keys_QK[0].tolist() if key != NO_HIT] == [7, 20]
        gallery.replace(keys(), np.empty((0, DIM), dtype=np.float32), spans(0))
        assert len(gallery) == 0

    @pytest.mark.parametrize(
        ("scope", "wanted"),
        [
            pytest.param(Scope(camera_keys=frozenset({1})), {10, 40, 70}, id="one camera"),
            pytest.param(Scope(camera_keys=frozenset({0, 1}), end_us=399), {0, 10, 30}, id="two cameras, until then"),
            pytest.param(Scope(start_us=450, end_us=500), {40, 50}, id="ends included"),
            pytest.param(Scope(start_us=451, end_us=499), set(), id="a moment when nobody was there"),
            pytest.param(Scope(camera_keys=frozenset({9})), set(), id="unknown camera"),
        ],
    )
    def test_only_what_lies_in_the_scope_is_found(self, gallery: Gallery, scope: Scope, wanted: set[int]) -> None:
        fill(gallery, 9)
        hits = gallery.search(unit_vectors(1, seed=4), top=9, scope=scope)
        assert set(hits.keys_QK[0].tolist()) - {NO_HIT} == wanted

    def test_an_upsert_moves_the_span_too(self, gallery: Gallery) -> None:
        vectors = fill(gallery, 5)
        gallery.upsert(keys(20), vectors[2:3], np.array([[8, 0, 9]]))
        assert gallery.search(vectors[2:3], top=1, scope=Scope(camera_keys=frozenset({8}))).keys_QK[0, 0] == 20
        assert 20 not in gallery.search(vectors[2:3], top=5, scope=Scope(camera_keys=frozenset({2}))).keys_QK

    def test_a_dropped_space_can_be_opened_again_and_is_empty(self, gallery: Gallery, open_gallery: Open) -> None:
        vectors = fill(gallery, 5)
        gallery.drop()
        again = open_gallery("space")
        again.upsert(keys(1), vectors[:1], spans(1))
        assert len(again) == 1
        again.close()

    def test_each_space_has_vectors_of_its_own(self, gallery: Gallery, open_gallery: Open) -> None:
        vectors = fill(gallery, 5)
        other = open_gallery("other space!")
        other.upsert(keys(1), vectors[:1], spans(1))
        assert (len(gallery), len(other)) == (5, 1)
        other.close()

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(OPERATIONS, max_size=20))
    def test_it_behaves_like_a_dictionary(self, gallery: Gallery, operations: list[tuple[str, int, int]]) -> None:
        vectors = unit_vectors(100)
        gallery.remove(list(range(10)))
        model: dict[int, int] = {}
        for kind, key, row in operations:
            if kind == "upsert":
                gallery.upsert(keys(key), vectors[row : row + 1], spans(1))
                model[key] = row
            else:
                gallery.remove([key])
                model.pop(key, None)
        assert len(gallery) == len(model)
        for key, row in model.items():
            hits = gallery.search(vectors[row : row + 1], top=10)
            assert key in hits.keys_QK[0][hits.similarities_QK[0] > 0.999]
