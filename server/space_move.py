"""A move of memory and gallery from one space to another, without reading all tracklets again.

Memory holds sums of embeddings, and a map of embeddings maps their sums. So the sums behind all prototypes are mapped
beside the writer's thread, which may change them at the same time, and put into a gallery of their own; in the writer's
thread only what changed meanwhile is done again before the two are exchanged. What was embedded again by the new
release counts in place of what is mapped. The outcome is what reading all tracklets again in the new space would give,
but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reid.types import FloatArray, IntArray
from server.gallery.gallery import Gallery
from server.matching.persons import PersonBook
from server.matching.recent import RecentTracklets
from server.matching.tracklets import LEAST_NORM
from server.spaces import Spaces, bring_tracklets
from server.storage.records import Records
from server.types import CameraSpan, PrototypeRef, Tracklet

_BLOCK = 4096
"""Sums mapped in one go, between which other threads get their turn."""


class SpaceMove:
    """One move. Made in the writer's thread, prepared in any, caught up and carried out in the writer's.

    Args:
        persons: As they are in the space that is left.
        recent: The tracklets that memory compares in time.
        records: Know which tracklets were embedded again.
        gallery: Empty; filled by `prepare`.
        before: Leads into the space that is left.
        after: Leads into the new one.

    Attributes:
        after: As given.
        gallery: As given.

    Raises:
        ReleaseError: Nothing joins the two spaces.
    """

    def __init__(
        self,
        persons: PersonBook,
        recent: RecentTracklets,
        records: Records,
        gallery: Gallery,
        *,
        before: Spaces,
        after: Spaces,
    ) -> None:
        matrix = after.alignments.between(before.space, after.space)
        self._matrix = np.eye(after.served.dim, dtype=np.float32) if matrix is None else matrix
        self.after, self.gallery = after, gallery
        self._before, self._records, self._persons = before, records, persons
        self._changed = persons.watch()
        self._refs = list(persons.refs())
        self._recent = list(recent)
        self._brought: dict[int, Tracklet] = {}
        self._sums: dict[PrototypeRef, FloatArray] = {}
        self._corrections: dict[PrototypeRef, FloatArray] = {}
        self._means: dict[int, FloatArray] = {}
        self._late: list[PrototypeRef] = []
        self._gone: list[PrototypeRef] = []

    def prepare(self) -> None:
        """Map what is there, and fill the gallery.

        Raises:
            StorageError: The records cannot be read, or the gallery cannot be reached.
        """
        for pair in self._records.iter_remeasured(self._before, self.after):
            self._correct(pair, among=None)
        for first in range(0, len(self._recent), _BLOCK):
            self._bring_copies(self._recent[first : first + _BLOCK])
        refs, sums, spans = self._found()
        sums_ND = self._mapped(sums)
        self._sums = dict(zip(refs, sums_ND, strict=True))
        for ref in self._corrections.keys() & self._sums.keys():
            self._sums[ref] += self._corrections[ref]
        self.gallery.replace(_keys(refs), _units(sums_ND), _array(spans))

    def catch_up(self, persons: PersonBook) -> None:
        """Take in what changed since this move was made; memory stays as it is.

        Raises:
            StorageError: The records cannot be read.
        """
        if persons is not self._persons:  # memory was read anew
            self._changed = {*persons.refs(), *self._sums}
            self._brought.clear()
        self._late = sorted(ref for ref in self._changed if persons.has(ref))
        self._gone = sorted(ref for ref in self._changed if not persons.has(ref))
        self._correct_anew()
        late_ND = self._mapped([persons.sum_of(ref) for ref in self._late])
        for ref, total in zip(self._late, late_ND, strict=True):
            self._sums[ref] = total + self._corrections.get(ref, np.float32(0.0))

    def carry_out(self, persons: PersonBook, recent: RecentTracklets) -> None:
        """Bring memory into the new space, and the gallery up to date.

        Raises:
            GalleryError: The gallery cannot be reached; memory may be in either space.
        """
        late_ND = np.array([self._sums[ref] for ref in self._late], dtype=np.float32)
        late_ND = late_ND.reshape(len(self._late), self.after.served.dim)
        spans = [persons.span(ref) for ref in self._late]
        self.gallery.upsert(_keys(self._late), _units(late_ND), _array(spans))
        self.gallery.remove([ref.prototype_key for ref in self._gone])
        persons.turn(self._sums, self._matrix, self._corrections)
        persons.unwatch()
        bring_tracklets([one for one in recent if not self._is_brought(one)], self.after, self._means)

    def _bring_copies(self, tracklets: Sequence[Tracklet]) -> None:
        """Bring copies of tracklets; one that grows meanwhile has more observations in the end."""
        copies = [replace(tracklet) for tracklet in tracklets]
        bring_tracklets(copies, self.after, self._means)
        self._brought.update((copy.tracklet_key, copy) for copy in copies if copy.native_sum is not None)

    def _is_brought(self, tracklet: Tracklet) -> bool:
        """True, and done, if a tracklet is as its copy was."""
        copy = self._brought.get(tracklet.tracklet_key)
        if copy is None or copy.num_observations != tracklet.num_observations:
            return False
        if tracklet.native_sum is None:
            tracklet.native_sum = tracklet.embedding_sum
        tracklet.embedding_sum, tracklet.mean = copy.embedding_sum, copy.mean
        return True

    def _found(self) -> tuple[list[PrototypeRef], list[FloatArray], list[CameraSpan]]:
        """The prototypes that are still there. What is changed while it is read here is read again when catching up."""
        refs: list[PrototypeRef] = []
        sums: list[FloatArray] = []
        spans: list[CameraSpan] = []
        for ref in self._refs:
            try:
                span, total = self._persons.span(ref), self._persons.sum_of(ref)
            except KeyError:  # gone since
                continue
            refs.append(ref)
            sums.append(total)
            spans.append(span)
        return refs, sums, spans

    def _correct_anew(self) -> None:
        """Look again at what was embedded again of the persons that changed."""
        if not self._corrections:
            return
        for ref in self._changed:
            self._corrections.pop(ref, None)
        person_ids = sorted({ref.person_id for ref in self._late})
        for pair in self._records.find_remeasured(person_ids, self._before, self.after):
            self._correct(pair, among=self._changed)

    def _correct(self, pair: tuple[Tracklet, Tracklet], *, among: set[PrototypeRef] | None) -> None:
        """Note by how much a tracklet, as it is in the new space, differs from what is mapped of it."""
        left, new = pair
        ref = PrototypeRef(new.person_id, new.camera_key)
        if new.mean is not None:
            self._means[new.tracklet_key] = new.mean
        if among is None or ref in among:
            difference = self._persons.part(new)[1] - self._persons.part(left)[1] @ self._matrix
            self._corrections[ref] = self._corrections.get(ref, np.float32(0.0)) + difference

    def _mapped(self, sums: Sequence[FloatArray]) -> FloatArray:
        """(N, D) of N vectors (D,)."""
        mapped_ND = np.empty((len(sums), self.after.served.dim), dtype=np.float32)
        for first in range(0, len(sums), _BLOCK):
            np.matmul(np.stack(sums[first : first + _BLOCK]), self._matrix, out=mapped_ND[first : first + _BLOCK])
        return mapped_ND


def _units(sums_ND: FloatArray) -> FloatArray:
    """Rows of norm 1; a sum without a direction becomes zero, like nobody."""
    norms_N = np.sqrt(np.einsum("nd,nd->n", sums_ND, sums_ND))
    scales_N = np.divide(1.0, norms_N, out=np.zeros_like(norms_N), where=norms_N >= LEAST_NORM)
    return np.asarray(sums_ND * scales_N[:, np.newaxis], dtype=np.float32)


def _keys(refs: Sequence[PrototypeRef]) -> IntArray:
    return np.array([ref.prototype_key for ref in refs], dtype=np.int64)


def _array(spans: Sequence[CameraSpan]) -> IntArray:
    return np.array(spans, dtype=np.int64).reshape(len(spans), 3)
