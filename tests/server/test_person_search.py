from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes_stream import DIM, half_bytes, look

from reid.embedder import OnnxEmbedder
from reid.errors import EmbeddingError, ImageError
from reid.release import Release
from server.gallery.exact import ExactGallery
from server.search import PersonSearch
from server.types import PrototypeRef


def fill(gallery: ExactGallery, *items: tuple[int, int, int]) -> None:
    """Items are (person_id, camera_key, look)."""
    keys = [PrototypeRef(person_id, camera_key).prototype_key for person_id, camera_key, _ in items]
    gallery.upsert(np.array(keys), np.stack([look(number) for *_, number in items]))


@pytest.fixture
def gallery() -> ExactGallery:
    return ExactGallery(DIM)


@pytest.fixture
def search(gallery: ExactGallery, tiny_release: Release) -> PersonSearch:
    return PersonSearch(gallery, OnnxEmbedder(tiny_release, num_threads=1))


def test_each_person_is_named_once_by_the_nearest_prototype(search: PersonSearch, gallery: ExactGallery) -> None:
    fill(gallery, (1, 1, 0), (1, 2, 3), (2, 1, 1))
    found = search.by_embedding(half_bytes(3), top=5)
    assert found[0][0] == PrototypeRef(1, 2)
    assert [ref.person_id for ref, _ in found] == [1, 2]


def test_a_person_with_many_cameras_does_not_hide_the_others(search: PersonSearch, gallery: ExactGallery) -> None:
    fill(gallery, *((1, camera_key, 0) for camera_key in range(300)), (2, 1, 1))
    assert [ref.person_id for ref, _ in search.by_embedding(half_bytes(0), top=2)] == [1, 2]


def test_a_photo_finds_the_embedding_of_the_same_photo(
    search: PersonSearch, gallery: ExactGallery, tiny_release: Release
) -> None:
    crops, embeddings = tiny_release.golden.crops, tiny_release.golden.embeddings
    gallery.upsert(np.array([PrototypeRef(7, 1).prototype_key]), embeddings[:1])
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
