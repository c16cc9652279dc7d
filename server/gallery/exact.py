"""Exact search in process: faiss scans all vectors, kept as halves (`SQfp16`).

faiss's own id map would move every vector behind a removed one, and replacing is removing there. Here rows are
overwritten in place and the last row fills a hole, so that an upsert costs the same at any size. Row r of the index
belongs to `_keys[r]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import faiss
import numpy as np

from reid.types import FloatArray, IntArray, UInt8Array
from server.gallery.gallery import NO_HIT, Hits


class ExactGallery:
    """Implements `server.gallery.gallery.Gallery` without approximation.

    Args:
        dim: Numbers in a vector.
    """

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._keys: IntArray = np.empty(1024, dtype=np.int64)  # its tail beyond the index's rows is spare
        self._rows: dict[int, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """See `Gallery.__len__`."""
        return len(self._rows)

    def upsert(self, keys_N: IntArray, vectors_ND: FloatArray) -> None:
        """See `Gallery.upsert`."""
        if len(keys_N) == 0:
            return
        vectors = np.ascontiguousarray(vectors_ND, dtype=np.float32)
        with self._lock:
            rows = np.fromiter((self._rows.get(int(key), -1) for key in keys_N), np.int64, len(keys_N))
            known = rows >= 0
            if known.any():
                self._codes()[rows[known]] = self._index.sa_encode(vectors[known])
            if not known.all():
                self._append(keys_N[~known], vectors[~known])

    def remove(self, keys: Sequence[int]) -> None:
        """See `Gallery.remove`."""
        with self._lock:
            for key in keys:
                row = self._rows.pop(int(key), None)
                if row is not None:
                    self._fill(row)

    def replace(self, keys_N: IntArray, vectors_ND: FloatArray) -> None:
        """See `Gallery.replace`."""
        with self._lock:
            self._index.reset()
            self._rows.clear()
            if len(keys_N):
                self._append(keys_N, np.ascontiguousarray(vectors_ND, dtype=np.float32))

    def search(self, queries_QD: FloatArray, *, top: int) -> Hits:
        """See `Gallery.search`."""
        queries = np.ascontiguousarray(queries_QD, dtype=np.float32)
        with self._lock:
            top = min(top, max(1, len(self._rows)))
            if len(queries) == 0 or not self._rows:
                shape = (len(queries), top)
                return Hits(np.full(shape, NO_HIT, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32))
            similarities, rows = self._index.search(queries, top)
            return Hits(self._keys[rows], similarities)

    def _append(self, keys: IntArray, vectors: FloatArray) -> None:
        first, end = len(self._rows), len(self._rows) + len(keys)
        if end > len(self._keys):
            self._keys = np.resize(self._keys, max(end, 2 * len(self._keys)))
        self._keys[first:end] = keys
        self._rows.update(zip(keys.tolist(), range(first, end), strict=True))
        self._index.add(vectors)

    def _fill(self, row: int) -> None:
        """Drop a row whose key is already gone: the last row takes its place."""
        last = self._index.ntotal - 1
        if row != last:
            codes = self._codes()
            codes[row] = codes[last]
            self._keys[row] = self._keys[last]
            self._rows[int(self._keys[last])] = row
        self._index.remove_ids(faiss.IDSelectorRange(last, last + 1))

    def _codes(self) -> UInt8Array:
        """The index's memory, (rows, bytes); valid until the next add or removal."""
        codes = self._index.codes
        view: UInt8Array = faiss.rev_swig_ptr(codes.data(), codes.size())
        return view.reshape(self._index.ntotal, self._index.code_size)
