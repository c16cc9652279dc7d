"""Who looks like this? Photos and embeddings in, persons out. Knows no grpc; called from several threads.

Two stages. Prototypes, which are means, say quickly who may be meant. Among those, the single views decide: a photo is
one view, and somebody seen from the side resembles his own side view more than anybody's mean.

A scope (cameras, a span) narrows both. A prototype's span is no shorter than the truth, so the first stage loses
nobody; the second drops whoever has no view in the scope, and the first then brings more. Provisional persons are
dropped between the two, unless they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import numpy as np

from reid.embedder import Embedder
from reid.embedding import unpack
from reid.preprocess import decode_image, resize_crop
from reid.types import FloatArray
from server.gallery.gallery import NO_HIT, Gallery
from server.types import EVERYTHING, PrototypeRef, Scope, Views

_PROTOTYPES_PER_PERSON = 4
"""How many prototypes to look at for each person wanted, at first: a person has one per camera."""
_LEAST_CANDIDATES = 100
"""Persons that go into the second stage, however few are wanted."""

_MOST_READ = 1000
"""Persons whose views are read in one go."""

ReadViews = Callable[[Sequence[int], Scope], Views]
"""Gives the best views of some persons within a scope."""
IsConfirmed = Callable[[int], bool]
"""Tells whether a person is not provisional."""
_Found = tuple[PrototypeRef, float]


class PersonSearch:
    """Finds persons by their prototypes and views.

    Args:
        gallery: Prototypes of all persons.
        embedder: Of the release whose space the gallery holds.
        read_views: Views of persons in that space.
        is_confirmed: Who is not provisional.
    """

    def __init__(self, gallery: Gallery, embedder: Embedder, read_views: ReadViews, is_confirmed: IsConfirmed) -> None:
        self._gallery = gallery
        self._embedder = embedder
        self._read_views = read_views
        self._is_confirmed = is_confirmed
        self._embedder_lock = Lock()

    def by_image(
        self, image: bytes, *, top: int, scope: Scope = EVERYTHING, with_provisional: bool = False
    ) -> list[_Found]:
        """Persons most like a photo of one person.

        Args:
            image: An encoded picture, cropped to the person.
            top: Most persons wanted.
            scope: Only views in it count.
            with_provisional: Provisional persons count too.

        Returns:
            Each person with the camera of the nearest view, and that view's cosine, best first.

        Raises:
            ImageError: The bytes are no picture.
            EmbeddingError: The network has no answer for it.
        """
        crop = resize_crop(decode_image(image, name="the probe image"))
        with self._embedder_lock:
            embedding = self._embedder.embed(crop[np.newaxis])[0]
        return self._nearest(embedding, top, scope, with_provisional)

    def by_embedding(
        self, content: bytes, *, top: int, scope: Scope = EVERYTHING, with_provisional: bool = False
    ) -> list[_Found]:
        """Persons most like an embedding, D little-endian halves.

        Raises:
            EmbeddingError: Wrong number of bytes, not finite, or not of unit norm.
        """
        return self._nearest(unpack(content, dim=self._embedder.dim), top, scope, with_provisional)

    def _nearest(self, embedding: FloatArray, top: int, scope: Scope, with_provisional: bool) -> list[_Found]:
        best: dict[int, _Found] = {}
        for candidates in self._candidates(embedding, max(top, _LEAST_CANDIDATES), scope):
            wanted = {key: it for key, it in candidates.items() if with_provisional or self._is_confirmed(key)}
            best.update(self._by_views(embedding, wanted, scope))
            if len(best) >= top:
                break
        return sorted(best.values(), key=lambda found: -found[1])[:top]

    def _by_views(self, embedding: FloatArray, candidates: dict[int, _Found], scope: Scope) -> dict[int, _Found]:
        """Each candidate with the nearest view; one without a view keeps the prototype, if that is sure to count."""
        best = dict(candidates) if scope.is_everything else {}
        persons = list(candidates)
        for first in range(0, len(persons), _MOST_READ):
            views = self._read_views(persons[first : first + _MOST_READ], scope)
            if len(views.person_ids) == 0:
                continue
            similarities = views.embeddings @ embedding
            # Worst first, so that each person's best view is what stays.
            for row in np.argsort(similarities).tolist():
                ref = PrototypeRef(int(views.person_ids[row]), int(views.camera_keys[row]))
                best[ref.person_id] = ref, float(similarities[row])
        return best

    def _candidates(self, embedding: FloatArray, num_persons: int, scope: Scope) -> Iterator[dict[int, _Found]]:
        """The persons with the nearest prototypes in the scope, then those that follow, until there are no more."""
        num_prototypes = num_persons * _PROTOTYPES_PER_PERSON
        seen: set[int] = set()
        while True:
            hits = self._gallery.search(embedding[np.newaxis], top=num_prototypes, scope=scope)
            best: dict[int, _Found] = {}
            for key, similarity in zip(hits.keys_QK[0].tolist(), hits.similarities_QK[0].tolist(), strict=True):
                if key != NO_HIT:
                    ref = PrototypeRef.from_key(key)
                    best.setdefault(ref.person_id, (ref, similarity))
            is_all = num_prototypes >= len(self._gallery) or NO_HIT in hits.keys_QK
            if len(best) >= num_persons or is_all:
                fresh = [person_id for person_id in best if person_id not in seen]
                yield {person_id: best[person_id] for person_id in fresh[:num_persons]}
                seen.update(fresh[:num_persons])
                if is_all and len(seen) == len(best):
                    return
                num_persons *= 4
            num_prototypes *= 4
