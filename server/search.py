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
from typing import Protocol

import numpy as np

from reid.attributes import Attribute
from reid.embedding import normalise, unpack
from reid.preprocess import decode_image, resize_crop
from reid.types import FloatArray, UInt8Array
from server.errors import GalleryError, NotFoundError
from server.gallery.gallery import NO_HIT, Gallery
from server.served import Served, Serving
from server.spaces import Spaces
from server.types import EVERYTHING, PrototypeRef, Scope, Views

_PROTOTYPES_PER_PERSON = 4
"""How many prototypes to look at for each person wanted, at first: a person has one per camera."""
_LEAST_CANDIDATES = 30
"""Persons that go into the second stage, however few are wanted; of more, as many are found (docs/log.md)."""

_MOST_READ = 1000
"""Persons whose views are read in one go."""


class ReadViews(Protocol):
    """Gives the best views of some persons within a scope."""

    def __call__(self, person_ids: Sequence[int], scope: Scope, *, spaces: Spaces) -> Views:
        """In the space that is served."""


IsConfirmed = Callable[[int], bool]
"""Tells whether a person is not provisional."""
_Found = tuple[PrototypeRef, float]


class PersonSearch:
    """Finds persons by their prototypes and views.

    Args:
        served: Gallery and network; both of one release, and exchanged together.
        read_views: Views of persons.
        is_confirmed: Who is not provisional.
    """

    def __init__(self, served: Served, read_views: ReadViews, is_confirmed: IsConfirmed) -> None:
        self._served = served
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
        return self._nearest(lambda now: self._embed(now, crop), top, scope, with_provisional)

    def by_examples(
        self,
        crop: UInt8Array | None,
        person_ids: Sequence[int],
        *,
        top: int,
        scope: Scope = EVERYTHING,
        with_provisional: bool = False,
    ) -> list[_Found]:
        """Persons most like a crop and some persons, which are said to show one and the same.

        Args:
            crop: uint8 (256, 128, 3) BGR; None to go by the persons alone.
            person_ids: Each counts as much as the crop; one without views does not count.
            top: Most persons wanted.
            scope: Only views in it count; the examples may lie elsewhere.
            with_provisional: Provisional persons count too.

        Raises:
            NotFoundError: There is no crop, and none of the persons has views.
            EmbeddingError: The network has no answer for it.
        """

        def embedded(now: Serving) -> FloatArray:
            examples = [] if crop is None else [self._embed(now, crop)]
            if person_ids:
                examples += self._looks(now, person_ids)
            if not examples:
                raise NotFoundError(
                    f"persons {', '.join(map(str, person_ids))}: none has views to go by, they have aged out or there "
                    "is no such person. Search by a photo"
                )
            return _direction(np.stack(examples))

        return self._nearest(embedded, top, scope, with_provisional)

    def by_embedding(
        self, content: bytes, *, top: int, scope: Scope = EVERYTHING, with_provisional: bool = False
    ) -> list[_Found]:
        """Persons most like an embedding, D little-endian halves.

        Raises:
            EmbeddingError: Wrong number of bytes, not finite, or not of unit norm.
        """
        return self._nearest(lambda now: unpack(content, dim=now.embedder.dim), top, scope, with_provisional)

    def attributes_of(self, person_ids: Sequence[int]) -> dict[int, tuple[Attribute, ...]]:
        """What persons look like, from all their best views: likeliest first.

        Nobody is in it unless the served release has a head for attributes.
        """
        now = self._served.now
        head = now.release.attributes
        if head is None or not person_ids:
            return {}
        views = self._read_views(person_ids, EVERYTHING, spaces=now.spaces)
        seen = np.unique(views.person_ids).tolist()
        return {person_id: head.of_person(views.embeddings[views.person_ids == person_id]) for person_id in seen}

    def _embed(self, now: Serving, crop: UInt8Array) -> FloatArray:
        with self._embedder_lock:
            return np.asarray(now.embedder.embed(crop[np.newaxis])[0])

    def _looks(self, now: Serving, person_ids: Sequence[int]) -> list[FloatArray]:
        """The mean view of each person that has views, unit norm."""
        views = self._read_views(person_ids, EVERYTHING, spaces=now.spaces)
        return [
            _direction(views.embeddings[views.person_ids == person_id]) for person_id in np.unique(views.person_ids)
        ]

    def _nearest(
        self, embedded: Callable[[Serving], FloatArray], top: int, scope: Scope, with_provisional: bool
    ) -> list[_Found]:
        """All in the space of one release; anew if that is no longer served, and its gallery gone."""
        now = self._served.now
        try:
            return self._nearest_in(now, embedded(now), top, scope, with_provisional)
        except GalleryError:
            if self._served.now.gallery is now.gallery:
                raise
        return self._nearest(embedded, top, scope, with_provisional)

    def _nearest_in(
        self, now: Serving, embedding: FloatArray, top: int, scope: Scope, with_provisional: bool
    ) -> list[_Found]:
        best: dict[int, _Found] = {}
        for candidates in _candidates(now.gallery, embedding, max(top, _LEAST_CANDIDATES), scope):
            wanted = {key: it for key, it in candidates.items() if with_provisional or self._is_confirmed(key)}
            best.update(self._by_views(now, embedding, wanted, scope))
            if len(best) >= top:
                break
        return sorted(best.values(), key=lambda found: -found[1])[:top]

    def _by_views(
        self, now: Serving, embedding: FloatArray, candidates: dict[int, _Found], scope: Scope
    ) -> dict[int, _Found]:
        """Each candidate with the nearest view; one without a view keeps the prototype, if that is sure to count."""
        best = dict(candidates) if scope.is_everything else {}
        persons = list(candidates)
        for first in range(0, len(persons), _MOST_READ):
            views = self._read_views(persons[first : first + _MOST_READ], scope, spaces=now.spaces)
            if len(views.person_ids) == 0:
                continue
            similarities = views.embeddings @ embedding
            # Worst first, so that each person's best view is what stays.
            for row in np.argsort(similarities).tolist():
                ref = PrototypeRef(int(views.person_ids[row]), int(views.camera_keys[row]))
                best[ref.person_id] = ref, float(similarities[row])
        return best


def _direction(feats_ND: FloatArray) -> FloatArray:
    """The mean of some embeddings, (D,) float32, unit norm."""
    direction: FloatArray = normalise(feats_ND.mean(axis=0, keepdims=True))[0]
    return direction


def _candidates(gallery: Gallery, embedding: FloatArray, num_persons: int, scope: Scope) -> Iterator[dict[int, _Found]]:
    """The persons with the nearest prototypes in the scope, then those that follow, until there are no more."""
    num_prototypes = num_persons * _PROTOTYPES_PER_PERSON
    seen: set[int] = set()
    while True:
        hits = gallery.search(embedding[np.newaxis], top=num_prototypes, scope=scope)
        best: dict[int, _Found] = {}
        for key, similarity in zip(hits.keys_QK[0].tolist(), hits.similarities_QK[0].tolist(), strict=True):
            if key != NO_HIT:
                ref = PrototypeRef.from_key(key)
                best.setdefault(ref.person_id, (ref, similarity))
        is_all = num_prototypes >= len(gallery) or NO_HIT in hits.keys_QK
        if len(best) >= num_persons or is_all:
            fresh = [person_id for person_id in best if person_id not in seen]
            yield {person_id: best[person_id] for person_id in fresh[:num_persons]}
            seen.update(fresh[:num_persons])
            if is_all and len(seen) == len(best):
                return
            num_persons *= 4
        num_prototypes *= 4
