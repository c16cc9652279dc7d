"""Search in process: vectors are kept as halves, and all compared while they are few.

From `SketchSettings.sketch_from` vectors on, sketches choose the vectors that are compared. They are made from the
vectors in seconds, so that nothing of a gallery is kept on disk: records are its only source.

faiss's own id map would move every vector behind a removed one, and replacing is removing there. Here rows are
overwritten in place and the last row fills a hole, so that an upsert costs the same at any size. Row r of the index
belongs to `_keys[r]` and was seen in `_spans[r]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from reid.types import BoolArray, FloatArray, IntArray
from server.gallery.codes import codes_of, half_index, halves_of, move_last, only_rows
from server.gallery.gallery import Hits
from server.gallery.settings import SketchSettings
from server.gallery.sketches import Sketches
from server.types import EVERYTHING, Scope

_SHORTLISTED_PER_HIT = 10


class LocalGallery:
    """Implements `server.gallery.gallery.Gallery`; exact as long as it has no sketches.

    Args:
        dim: Numbers in a vector.
        settings: From when on sketches are searched, and how thoroughly.
    """

    def __init__(self, dim: int, settings: SketchSettings | None = None) -> None:
        self._settings = settings or SketchSettings()
        self._index = half_index(dim)
        self._sketches: Sketches | None = None
        self._keys: IntArray = np.empty(1024, dtype=np.int64)  # its tail beyond the index's rows is spare
        self._spans: IntArray = np.empty((1024, 3), dtype=np.int64)  # likewise
        self._rows: dict[int, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """See `Gallery.__len__`."""
        return len(self._rows)

    def upsert(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """See `Gallery.upsert`."""
        if len(keys_N) == 0:
            return
        vectors = np.ascontiguousarray(vectors_ND, dtype=np.float32)
        with self._lock:
            rows = np.fromiter((self._rows.get(int(key), -1) for key in keys_N), np.int64, len(keys_N))
            known = rows >= 0
            if known.any():
                self._overwrite(rows[known], vectors[known], spans_N3[known])
            if not known.all():
                self._append(keys_N[~known], vectors[~known], spans_N3[~known])

    def remove(self, keys: Sequence[int]) -> None:
        """See `Gallery.remove`."""
        with self._lock:
            for key in keys:
                row = self._rows.pop(int(key), None)
                if row is not None:
                    self._fill(row)

    def replace(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """See `Gallery.replace`."""
        with self._lock:
            self._index.reset()
            self._sketches = None
            self._rows.clear()
            if len(keys_N):
                self._append(keys_N, np.ascontiguousarray(vectors_ND, dtype=np.float32), spans_N3)

    def search(self, queries_QD: FloatArray, *, top: int, scope: Scope = EVERYTHING) -> Hits:
        """See `Gallery.search`."""
        queries = np.ascontiguousarray(queries_QD, dtype=np.float32)
        with self._lock:
            top = min(top, max(1, len(self._rows)))
            if len(queries) == 0 or not self._rows:
                return Hits.none(len(queries), top)
            if scope.is_everything:
                return self._search(queries, top, None, len(self._rows))
            chosen: BoolArray = scope.covers(self._spans[: len(self._rows)])
            return self._search(queries, top, only_rows(chosen), int(chosen.sum()))

    def drop(self) -> None:
        """See `Gallery.drop`."""

    def close(self) -> None:
        """See `Gallery.close`."""

    def _search(self, queries: FloatArray, top: int, only: Any | None, num_chosen: int) -> Hits:
        """Search in the rows that `only` lets through, `num_chosen` of them."""
        size = max(self._settings.shortlist, _SHORTLISTED_PER_HIT * top)
        if self._sketches is None or num_chosen < max(self._settings.sketch_from, size):
            similarities, rows = self._index.search(queries, top, params=only)
            return self._to_hits(rows, similarities)
        return self._compare(queries, self._sketches.shortlist(queries, size, only), top)

    def _compare(self, queries: FloatArray, shortlists_QS: IntArray, top: int) -> Hits:
        """The best rows of each query's shortlist, by their vectors."""
        rows = np.empty((len(queries), top), dtype=np.int64)
        similarities = np.empty((len(queries), top), dtype=np.float32)
        for number, (query, shortlist) in enumerate(zip(queries, shortlists_QS, strict=True)):
            compared = self._index.sa_decode(codes_of(self._index)[shortlist]) @ query
            best = np.argsort(-compared, kind="stable")[:top]
            rows[number], similarities[number] = shortlist[best], compared[best]
        return self._to_hits(rows, similarities)

    def _to_hits(self, rows_QK: IntArray, similarities_QK: FloatArray) -> Hits:
        """Hits from row numbers, -1 where there was none."""
        hits = Hits.none(*rows_QK.shape)
        found = rows_QK >= 0
        hits.keys_QK[found] = self._keys[rows_QK[found]]
        hits.similarities_QK[found] = similarities_QK[found]
        return hits

    def _overwrite(self, rows: IntArray, vectors: FloatArray, spans: IntArray) -> None:
        codes_of(self._index)[rows] = self._index.sa_encode(vectors)
        self._spans[rows] = spans
        if self._sketches is not None:
            self._sketches.overwrite(rows, vectors)

    def _append(self, keys: IntArray, vectors: FloatArray, spans: IntArray) -> None:
        first, end = len(self._rows), len(self._rows) + len(keys)
        if end > len(self._keys):
            capacity = max(end, 2 * len(self._keys))
            self._keys = np.resize(self._keys, capacity)
            self._spans = np.resize(self._spans, (capacity, 3))
        self._keys[first:end] = keys
        self._spans[first:end] = spans
        self._rows.update(zip(keys.tolist(), range(first, end), strict=True))
        self._index.add(vectors)
        if self._sketches is not None:
            self._sketches.add(vectors)
        elif end >= self._settings.sketch_from:
            self._sketches = Sketches(halves_of(self._index))

    def _fill(self, row: int) -> None:
        """Drop a row whose key is already gone: the last row takes its place."""
        last = self._index.ntotal - 1
        if row != last:
            self._keys[row] = self._keys[last]
            self._spans[row] = self._spans[last]
            self._rows[int(self._keys[last])] = row
        move_last(self._index, row)
        if self._sketches is not None:
            self._sketches.move_last(row)
