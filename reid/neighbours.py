"""k nearest neighbours and the k-reciprocal Jaccard distance, exact and sparse: the one implementation.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017 (arXiv 1701.08398), in the
form that Cluster-Contrast and ISE cluster with. Two samples have a Jaccard distance below 1 only if both encodings have
a non-zero in common, and an encoding has O(k1) of them; so the graph of all pairs nearer than a bound has O(N k1)
entries, and no N x N matrix is ever made.

Shape letters: N samples, D embedding, K neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import faiss
import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from reid.types import FloatArray, IntArray

EXACT_LIMIT = 200_000
"""Above this many samples `nearest_neighbours` searches an HNSW graph instead of scanning all."""
_HNSW_LINKS = 24
_HNSW_EF_CONSTRUCTION = 64
_HNSW_EF_SEARCH = 128
_EXPANSION_OVERLAP = 2.0 / 3.0

_ROW_BLOCKS_PER_THREAD = 8

_faiss: Any = faiss  # its stubs lack some constructors

Index32 = npt.NDArray[np.int32]
Rows = tuple[Index32, Index32, FloatArray]
"""Sparse rows of one block: entries in each row, their columns, their values."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest of every sample, itself included, nearest first.

    Attributes:
        indices_NK: int64; row i starts with i itself.
        similarities_NK: float32 cosines.
        is_exact: False when an approximate index was searched.
    """

    indices_NK: IntArray
    similarities_NK: FloatArray
    is_exact: bool


def nearest_neighbours(feats_ND: FloatArray, k: int, *, exact_limit: int = EXACT_LIMIT) -> Neighbours:
    """Find the k most similar samples of each sample, itself included.

    Args:
        feats_ND: Unit-norm float32.
        k: How many; at most N are returned.
        exact_limit: Above this many samples, HNSW is used; its recall@30 is given in `benchmarks/results`.

    Raises:
        ValueError: No samples, or k < 1.
    """
    num_samples, dim = feats_ND.shape
    if num_samples == 0 or k < 1:
        raise ValueError(f"nearest_neighbours needs samples and k >= 1, came {num_samples} samples and k = {k}")
    is_exact = num_samples <= exact_limit
    index = faiss.IndexFlatIP(dim) if is_exact else _hnsw(dim, k)
    index.add(feats_ND)
    similarities, indices = index.search(feats_ND, min(k, num_samples))
    _put_self_first(indices, similarities)
    return Neighbours(indices, similarities, is_exact)


def jaccard_graph(
    feats_ND: FloatArray,
    *,
    k1: int = 30,
    k2: int = 6,
    max_distance: float = 1.0,
    exact_limit: int = EXACT_LIMIT,
) -> sparse.csr_matrix:
    """Jaccard distances of k-reciprocal encodings, of all pairs nearer than a bound.

    Args:
        feats_ND: Unit-norm float32.
        k1: Neighbours of the encoding, self included.
        k2: Neighbours over which encodings are averaged (local query expansion), self included; 1 for none.
        max_distance: Only pairs with distance <= this are kept; 1 itself is never stored.
        exact_limit: See `nearest_neighbours`.

    Returns:
        Symmetric (N, N) float32 CSR matrix; the diagonal is stored, as zeros. An absent entry is farther.
    """
    near = nearest_neighbours(feats_ND, k1, exact_limit=exact_limit)
    return jaccard_of_neighbours(feats_ND, near, k1=k1, k2=k2, max_distance=max_distance)


def jaccard_of_neighbours(
    feats_ND: FloatArray, near: Neighbours, *, k1: int = 30, k2: int = 6, max_distance: float = 1.0
) -> sparse.csr_matrix:
    """`jaccard_graph` of neighbours that are already known, at least k1 of each sample."""
    encoding = reciprocal_encoding(feats_ND, near, k1=k1)
    if k2 > 1:
        encoding = _query_expansion(encoding, near.indices_NK[:, :k2])
    return _jaccard_of(encoding, max_distance)


def reciprocal_encoding(feats_ND: FloatArray, near: Neighbours, *, k1: int) -> sparse.csr_matrix:
    """k-reciprocal encodings: for each sample, weights over its expanded reciprocal neighbours that sum to 1.

    A neighbour is reciprocal when each is among the other's k1 nearest. The set of sample i grows by the half-size set
    of a member c when more than two thirds of that lie in i's own set. Weights are a softmax
    over the set of minus the squared distance 2 - 2 cos.

    Returns:
        (N, N) float32 CSR with sorted indices.
    """
    ranks = np.ascontiguousarray(near.indices_NK[:, :k1], dtype=np.int32)
    half = min(ranks.shape[1], int(np.around(k1 / 2)) + 1)
    full_sets, half_sets = _reciprocal_sets(ranks, ranks.shape[1]), _reciprocal_sets(ranks, half)
    return _assemble(len(ranks), lambda start, stop: _encode_rows(start, stop, feats_ND, *full_sets, *half_sets))


def _hnsw(dim: int, k: int) -> Any:
    """An empty graph that keeps vectors as halves: half the memory, and less to wait for."""
    index = _faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _HNSW_EF_CONSTRUCTION
    index.hnsw.efSearch = max(_HNSW_EF_SEARCH, 2 * k)
    return index


def _put_self_first(indices: IntArray, similarities: FloatArray) -> None:
    """Make each row start with its own index: a duplicate may have come first, or an approximate search missed it."""
    own = np.arange(len(indices))
    wrong = np.flatnonzero(indices[:, 0] != own)
    for row in wrong:
        found = np.flatnonzero(indices[row] == row)
        place = int(found[0]) if found.size else indices.shape[1] - 1
        indices[row, 1 : place + 1] = indices[row, :place]
        similarities[row, 1 : place + 1] = similarities[row, :place]
        indices[row, 0], similarities[row, 0] = row, 1.0
    # HNSW pads a row with -1 when it finds too few; the sample itself is a harmless stand-in.
    np.copyto(indices, own[:, None], where=indices < 0)


def _query_expansion(encoding: sparse.csr_matrix, nearest_NK: IntArray) -> sparse.csr_matrix:
    """Average each encoding over the sample's nearest neighbours."""
    num_samples, k2 = nearest_NK.shape
    mean = sparse.csr_matrix(
        (
            np.full(nearest_NK.size, 1.0 / k2, dtype=np.float32),
            nearest_NK.ravel().astype(np.int32),
            np.arange(0, nearest_NK.size + 1, k2),
        ),
        shape=(num_samples, num_samples),
    )
    return mean @ encoding


def _jaccard_of(encoding: sparse.csr_matrix, max_distance: float) -> sparse.csr_matrix:
    """Distances 1 - m / (2 - m), m the sum of elementwise minima of two encodings (rows sum to 1)."""
    columns = encoding.tocsc()
    columns.sort_indices()
    csr = encoding.indptr, encoding.indices, encoding.data
    csc = columns.indptr, columns.indices, columns.data
    bound = np.float32(max_distance)
    upper = _assemble(encoding.shape[0], lambda start, stop: _jaccard_rows(start, stop, *csr, *csc, bound))
    # Distance 0 between duplicates must stay stored: shift while the two triangles are added, which drops zeros.
    upper.data += 1.0
    graph = upper + upper.T + sparse.identity(encoding.shape[0], dtype=np.float32, format="csr")
    graph.data -= 1.0
    return graph


def _assemble(num_rows: int, block: Callable[[int, int], Rows]) -> sparse.csr_matrix:
    """Build a square matrix from blocks of rows that threads compute; `block` releases the GIL."""
    num_threads = os.cpu_count() or 1
    edges = np.linspace(0, num_rows, min(num_rows, num_threads * _ROW_BLOCKS_PER_THREAD) + 1).astype(int)
    with ThreadPoolExecutor(num_threads) as pool:
        blocks = list(pool.map(block, edges[:-1].tolist(), edges[1:].tolist()))
    counts, columns, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return sparse.csr_matrix((values, columns, offsets), shape=(num_rows, num_rows))


@numba.njit(cache=True, nogil=True)
def _reciprocal_sets(ranks: Index32, width: int) -> tuple[Index32, Index32]:
    """Members j of each row's first `width` neighbours that have the row among their own first `width`."""
    num_samples = ranks.shape[0]
    members = np.empty((num_samples, width), np.int32)
    counts = np.zeros(num_samples, np.int32)
    for i in range(num_samples):
        for a in range(width):
            j = ranks[i, a]
            for b in range(width):
                if ranks[j, b] == i:
                    members[i, counts[i]] = j
                    counts[i] += 1
                    break
    return members, counts


@numba.njit(cache=True, nogil=True)
def _grown(array, needed):  # type: ignore[no-untyped-def]
    """The array, or a copy of at least twice its size when `needed` entries do not fit."""
    if needed <= array.size:
        return array
    larger = np.empty(max(needed, 2 * array.size), array.dtype)
    larger[: array.size] = array
    return larger


@numba.njit(cache=True, nogil=True)
def _expanded_set(i, full, full_counts, half, half_counts, seen, found):  # type: ignore[no-untyped-def]
    """Write the expanded reciprocal set of sample i to `found`; returns its size.

    `seen` marks a member of the unexpanded set with 2 i + 1 and an added one with 2 i + 2.
    """
    own, added = 2 * i + 1, 2 * i + 2
    size = 0
    for a in range(full_counts[i]):
        if seen[full[i, a]] != own:
            seen[full[i, a]] = own
            found[size] = full[i, a]
            size += 1
    for a in range(full_counts[i]):
        candidate = full[i, a]
        common = 0
        for b in range(half_counts[candidate]):
            common += seen[half[candidate, b]] == own
        if common > _EXPANSION_OVERLAP * half_counts[candidate]:
            for b in range(half_counts[candidate]):
                j = half[candidate, b]
                if seen[j] < own:
                    seen[j] = added
                    found[size] = j
                    size += 1
    return size


@numba.njit(cache=True, nogil=True, fastmath=True)
def _encode_rows(  # type: ignore[no-untyped-def]
    start, stop, feats_ND, full, full_counts, half, half_counts
):
    """Encodings of samples start..stop: columns and softmax weights of their expanded sets."""
    seen = np.zeros(feats_ND.shape[0], np.int64)
    found = np.empty(full.shape[1] * (1 + half.shape[1]), np.int32)
    counts = np.empty(stop - start, np.int32)
    columns = np.empty(64 * (stop - start), np.int32)
    values = np.empty(64 * (stop - start), np.float32)
    end = 0
    for i in range(start, stop):
        size = _expanded_set(i, full, full_counts, half, half_counts, seen, found)
        columns, values = _grown(columns, end + size), _grown(values, end + size)
        total = 0.0
        for a in range(size):
            similarity = np.float32(0.0)
            for d in range(feats_ND.shape[1]):
                similarity += feats_ND[i, d] * feats_ND[found[a], d]
            weight = np.exp(2.0 * similarity - 2.0)
            columns[end + a], values[end + a] = found[a], weight
            total += weight
        for a in range(size):
            values[end + a] /= total
        counts[i - start] = size
        end += size
    return counts, columns[:end], values[:end]


@numba.njit(cache=True, nogil=True)
def _jaccard_rows(  # type: ignore[no-untyped-def]
    start, stop, row_ends, row_columns, row_values, column_ends, column_rows, column_values, max_distance
):
    """Entries above the diagonal of rows start..stop: pairs at most `max_distance` and below 1 apart."""
    overlap = np.zeros(row_ends.size - 1, np.float32)
    touched = np.empty(row_ends.size - 1, np.int32)
    counts = np.zeros(stop - start, np.int32)
    columns = np.empty(64 * (stop - start), np.int32)
    values = np.empty(64 * (stop - start), np.float32)
    end = 0
    for i in range(start, stop):
        num_touched = 0
        for a in range(row_ends[i], row_ends[i + 1]):
            first, last = column_ends[row_columns[a]], column_ends[row_columns[a] + 1]
            first += np.searchsorted(column_rows[first:last], i, side="right")
            for b in range(first, last):
                j = column_rows[b]
                if overlap[j] == 0.0:
                    touched[num_touched] = j
                    num_touched += 1
                overlap[j] += min(row_values[a], column_values[b])
        columns, values = _grown(columns, end + num_touched), _grown(values, end + num_touched)
        for t in range(num_touched):
            j = touched[t]
            distance = max(np.float32(0.0), np.float32(1.0) - overlap[j] / (np.float32(2.0) - overlap[j]))
            if distance <= max_distance and distance < 1.0:
                columns[end], values[end] = j, distance
                counts[i - start] += 1
                end += 1
            overlap[j] = 0.0
    return counts, columns[:end], values[:end]
