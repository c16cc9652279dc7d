"""Who looks like this? Photos and embeddings in, persons out. Knows no grpc; called from several threads.

Two stages. Prototypes, which are means, say quickly who may be meant. Among those, the single views decide: a photo is
one view, and somebody seen from the side resembles his own side view more than anybody's mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np

from reid.embedder import Embedder
from reid.embedding import unpack
from reid.preprocess import decode_image, resize_crop
from reid.types import FloatArray
from server.gallery.gallery import NO_HIT, Gallery
from server.types import PrototypeRef, Views

_PROTOTYPES_PER_PERSON = 4
"""How many prototypes to look at for each person wanted, at first: a person has one per camera."""
_LEAST_CANDIDATES = 100
"""Persons that go into the second stage, however few are wanted."""

ReadViews = Callable[[Sequence[int]], Views]
"""Gives the best views of some persons."""


class PersonSearch:
    """Finds persons by their prototypes and views.

    Args:
        gallery: Prototypes of all persons.
        embedder: Of the release whose space the gallery holds.
        read_views: Views of persons in that space.
    """

    def __init__(self, gallery: Gallery, embedder: Embedder, read_views: ReadViews) -> None:
        self._gallery = gallery
        self._embedder = embedder
        self._read_views = read_views
        self._embedder_lock = Lock()

    def by_image(self, image: bytes, *, top: int) -> list[tuple[PrototypeRef, float]]:
        """Persons most like a photo of one person.

        Args:
            image: An encoded picture, cropped to the person.
            top: Most persons wanted.

        Returns:
            Each person with the camera of the nearest view, and that view's cosine, best first.

        Raises:
            ImageError: The bytes are no picture.
            EmbeddingError: The network has no answer for it.
        """
        crop = resize_crop(decode_image(image, name="the probe image"))
        with self._embedder_lock:
            embedding = self._embedder.embed(crop[np.newaxis])[0]
        return self._nearest(embedding, top)

    def by_embedding(self, content: bytes, *, top: int) -> list[tuple[PrototypeRef, float]]:
        """Persons most like an embedding, D little-endian halves.

        Raises:
            EmbeddingError: Wrong number of bytes, not finite, or not of unit norm.
        """
        return self._nearest(unpack(content, dim=self._embedder.dim), top)

    def _nearest(self, embedding: FloatArray, top: int) -> list[tuple[PrototypeRef, float]]:
        best = self._candidates(embedding, max(top, _LEAST_CANDIDATES))
        views = self._read_views(list(best))
        if len(views.person_ids):
            similarities = views.embeddings @ embedding
            # Worst first, so that each person's best view is what stays; a person without a view keeps the prototype.
            for row in np.argsort(similarities).tolist():
                ref = PrototypeRef(int(views.person_ids[row]), int(views.camera_keys[row]))
                best[ref.person_id] = ref, float(similarities[row])
        return sorted(best.values(), key=lambda found: -found[1])[:top]

    def _candidates(self, embedding: FloatArray, num_persons: int) -> dict[int, tuple[PrototypeRef, float]]:
        """The persons with the nearest prototypes."""
        num_prototypes = num_persons * _PROTOTYPES_PER_PERSON
        while True:
            hits = self._gallery.search(embedding[np.newaxis], top=num_prototypes)
            best: dict[int, tuple[PrototypeRef, float]] = {}
            for key, similarity in zip(hits.keys_QK[0].tolist(), hits.similarities_QK[0].tolist(), strict=True):
                if key != NO_HIT:
                    ref = PrototypeRef.from_key(key)
                    best.setdefault(ref.person_id, (ref, similarity))
            if len(best) >= num_persons or num_prototypes >= len(self._gallery):
                return dict(list(best.items())[:num_persons])
            num_prototypes *= 4
