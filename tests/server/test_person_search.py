from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from fakes_stream import DIM, SPACES, half_bytes, look

from reid.embedder import OnnxEmbedder
from reid.errors import EmbeddingError, ImageError
from reid.release import Release
from server.errors import NotFoundError
from server.gallery.local import LocalGallery
from server.search import PersonSearch
from server.served import Served, Serving
from server.spaces import Spaces
from server.types import PrototypeRef, Scope, Views

PROVISIONAL = 1000
"""From this person_id on persons are provisional."""


def fill(gallery: LocalGallery, *items: tuple[int, int, int]) -> None:
    """Items are (person_id, camera_key, look)."""
    keys = [PrototypeRef(person_id, camera_key).prototype_key for person_id, camera_key, _ in items]
    spans = np.array([(camera_key, 0, 1000) for _, camera_key, _ in items])
    gallery.upsert(np.array(keys), np.stack([look(number) for *_, number in items]), spans)


@pytest.fixture
def gallery() -> LocalGallery:
    return LocalGallery(DIM)


@dataclass
class FakeViews:
    """Views by hand: items are (person_id, camera_key, look)."""

    items: list[tuple[int, int, int]] = field(default_factory=list)

    def __call__(self, person_ids: Sequence[int], scope: Scope, *, spaces: Spaces) -> Views:
        rows = [item for item in self.items if item[0] in person_ids]
        rows = [item for item in rows if not scope.camera_keys or item[1] in scope.camera_keys]
        return Views(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.int64),
            np.array([look(row[2]) for row in rows], np.float32).reshape(len(rows), -1 if rows else 0),
        )


@pytest.fixture
def views() -> FakeViews:
    return FakeViews()


@pytest.fixture
def search(gallery: LocalGallery, tiny_release: Release, views: FakeViews) -> PersonSearch:
    embedder = OnnxEmbedder(tiny_release, num_threads=1)
    served = Served(Serving(release=tiny_release, embedder=embedder, spaces=SPACES, gallery=gallery))
    return PersonSearch(served, views, lambda person_id: person_id < PROVISIONAL)


def test_each_person_is_named_once_by_the_nearest_prototype(search: PersonSearch, gallery: LocalGallery) -> None:
    fill(gallery, (1, 1, 0), (1, 2, 3), (2, 1, 1))
    found = search.by_embedding(half_bytes(3), top=5)
    assert found[0][0] == PrototypeRef(1, 2)
    assert [ref.person_id for ref, _ in found] == [1, 2]


def test_a_person_with_many_cameras_does_not_hide_the_others(search: PersonSearch, gallery: LocalGallery) -> None:
    fill(gallery, *((1, camera_key, 0) for camera_key in range(300)), (2, 1, 1))
    assert [ref.person_id for ref, _ in search.by_embedding(half_bytes(0), top=2)] == [1, 2]


def test_provisional_persons_are_found_only_when_asked_for_and_hide_nobody(
    search: PersonSearch, gallery: LocalGallery
) -> None:
    fill(gallery, *((PROVISIONAL + number, 1, 0) for number in range(300)), (2, 1, 1))
    assert [ref.person_id for ref, _ in search.by_embedding(half_bytes(0), top=1)] == [2]
    (ref, _), *_ = search.by_embedding(half_bytes(0), top=1, with_provisional=True)
    assert ref.person_id >= PROVISIONAL


def test_a_person_is_found_by_a_view_that_the_mean_does_not_resemble(
    search: PersonSearch, gallery: LocalGallery, views: FakeViews
) -> None:
    fill(gallery, (1, 1, 0), (2, 1, 1))
    views.items = [(1, 1, 0), (1, 5, 3), (2, 1, 1)]
    (first, similarity), *_ = search.by_embedding(half_bytes(3), top=2)
    assert first == PrototypeRef(1, 5)
    assert similarity == pytest.approx(1.0, abs=2e-3)


def test_no_more_persons_than_wanted_are_named(search: PersonSearch, gallery: LocalGallery, views: FakeViews) -> None:
    views.items = [(person_id, 1, person_id % DIM) for person_id in range(1, 30)]
    fill(gallery, *views.items)
    assert len(search.by_embedding(half_bytes(0), top=3)) == 3


def test_a_photo_finds_the_embedding_of_the_same_photo(
    search: PersonSearch, gallery: LocalGallery, tiny_release: Release
) -> None:
    crops, embeddings = tiny_release.golden.crops, tiny_release.golden.embeddings
    gallery.upsert(np.array([PrototypeRef(7, 1).prototype_key]), embeddings[:1], np.array([[1, 0, 1000]]))
    ((ref, similarity),) = search.by_image(cv2.imencode(".png", crops[0])[1].tobytes(), top=3)
    assert ref.person_id == 7
    assert similarity == pytest.approx(1.0, abs=2e-3)


def test_an_empty_gallery_finds_nobody(search: PersonSearch) -> None:
    assert search.by_embedding(half_bytes(0), top=3) == []


def test_bad_probes_are_refused(search: PersonSearch) -> None:
    with pytest.raises(ImageError, match="the probe image"):
        search.by_image(b"x", top=1)
    with pytest.raises(EmbeddingError, match="norm"):
        search.by_embedding(bytes(2 * DIM), top=1)


def test_only_views_in_the_scope_count(search: PersonSearch, gallery: LocalGallery, views: FakeViews) -> None:
    fill(gallery, (1, 1, 3), (2, 2, 1), (3, 2, 0))
    views.items = [(1, 1, 3), (2, 2, 1), (3, 2, 0)]
    found = search.by_embedding(half_bytes(3), top=5, scope=Scope(camera_keys=frozenset({2})))
    assert {ref.person_id for ref, _ in found} == {2, 3}


def test_persons_without_a_view_in_the_scope_do_not_hide_those_with_one(
    search: PersonSearch, gallery: LocalGallery, views: FakeViews
) -> None:
    fill(gallery, *((person_id, 1, 3) for person_id in range(1, 701)), (701, 1, 0))
    views.items = [(701, 1, 0)]
    found = search.by_embedding(half_bytes(3), top=1, scope=Scope(camera_keys=frozenset({1})))
    assert [ref.person_id for ref, _ in found] == [701]


def test_persons_are_found_by_others_who_are_said_to_be_the_same(
    search: PersonSearch, gallery: LocalGallery, views: FakeViews
) -> None:
    views.items = [(1, 1, 0), (2, 1, 3), (3, 1, 3), (4, 1, 5)]
    fill(gallery, *views.items)
    found = search.by_examples(None, [2], top=4)
    assert {ref.person_id for ref, similarity in found if similarity > 0.9} == {2, 3}


def test_a_photo_and_persons_count_alike(
    search: PersonSearch, gallery: LocalGallery, views: FakeViews, tiny_release: Release
) -> None:
    crop, embedding = tiny_release.golden.crops[0], tiny_release.golden.embeddings[0]
    views.items = [(2, 1, 3)]
    keys = [PrototypeRef(person_id, 1).prototype_key for person_id in (7, 2)]
    gallery.upsert(np.array(keys), np.stack([embedding, look(3)]), np.array([[1, 0, 1000]] * 2))
    found = {ref.person_id: similarity for ref, similarity in search.by_examples(crop, [2], top=3)}
    assert found[7] == pytest.approx(found[2], abs=0.01)


def test_persons_without_views_are_nothing_to_search_by(search: PersonSearch) -> None:
    with pytest.raises(NotFoundError, match="none has views"):
        search.by_examples(None, [1, 2], top=3)
