"""Who looks like this? Photos and embeddings in, persons out. Knows no grpc; called from several threads."""

from __future__ import annotations

from threading import Lock

import numpy as np

from reid.embedder import Embedder
from reid.embedding import unpack
from reid.preprocess import decode_image, resize_crop
from reid.types import FloatArray
from server.gallery.gallery import NO_HIT, Gallery
from server.types import PrototypeRef

_PROTOTYPES_PER_PERSON = 4
"""How many prototypes to look at for each person wanted, at first: a person has one per camera."""


class PersonSearch:
    """Finds persons by their prototypes.

    Args:
        gallery: Prototypes of all persons.
        embedder: Of the release whose space the gallery holds.
    """

    def __init__(self, gallery: Gallery, embedder: Embedder) -> None:
        self._gallery = gallery
        self._embedder = embedder
        self._embedder_lock = Lock()

    def by_image(self, image: bytes, *, top: int) -> list[tuple[PrototypeRef, float]]:
        """Persons most like a photo of one person.

        Args:
            image: An encoded picture, cropped to the person.
            top: Most persons wanted.

        Returns:
            Each person's nearest prototype and its cosine, best first.

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
        num_prototypes = top * _PROTOTYPES_PER_PERSON
        while True:
            hits = self._gallery.search(embedding[np.newaxis], top=num_prototypes)
            best: dict[int, tuple[PrototypeRef, float]] = {}
            for key, similarity in zip(hits.keys_QK[0].tolist(), hits.similarities_QK[0].tolist(), strict=True):
                if key != NO_HIT:
                    ref = PrototypeRef.from_key(key)
                    best.setdefault(ref.person_id, (ref, similarity))
            if len(best) >= top or num_prototypes >= len(self._gallery):
                return list(best.values())[:top]
            num_prototypes *= 4
