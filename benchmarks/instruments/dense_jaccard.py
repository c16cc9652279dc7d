"""The rival of `reid.neighbours`: the same definition with N x N matrices, as published implementations hold it."""

from __future__ import annotations

import numpy as np

from reid.neighbours import nearest_neighbours
from reid.types import FloatArray, IntArray


def dense_jaccard(feats_ND: FloatArray, *, k1: int = 30, k2: int = 6) -> FloatArray:
    """Jaccard distances of k-reciprocal encodings, all of them.

    Args:
        feats_ND: Unit-norm float32.
        k1: Neighbours of the encoding, self included.
        k2: Neighbours over which encodings are averaged, self included.

    Returns:
        (N, N) float32.
    """
    ranks = nearest_neighbours(feats_ND, k1).indices_NK
    encoding = _dense_encoding(feats_ND, ranks, half=int(np.around(k1 / 2)) + 1)
    averaged = np.empty_like(encoding)
    for i in range(len(feats_ND)):
        averaged[i] = encoding[ranks[i, :k2]].mean(axis=0)
    return _dense_distances(averaged)


def _dense_encoding(feats_ND: FloatArray, ranks: IntArray, *, half: int) -> FloatArray:
    num_samples, k1 = ranks.shape
    full_sets = [_reciprocal(ranks, i, k1) for i in range(num_samples)]
    half_sets = [_reciprocal(ranks, i, half) for i in range(num_samples)]
    encoding = np.zeros((num_samples, num_samples), dtype=np.float32)
    for i, own in enumerate(full_sets):
        expanded = own
        for candidate in own:
            theirs = half_sets[candidate]
            if len(np.intersect1d(theirs, own, assume_unique=True)) > 2 / 3 * len(theirs):
                expanded = np.append(expanded, theirs)
        expanded = np.unique(expanded)
        weights = np.exp(2 * feats_ND[expanded] @ feats_ND[i] - 2)
        encoding[i, expanded] = weights / weights.sum()
    return encoding


def _reciprocal(ranks: IntArray, i: int, width: int) -> IntArray:
    forward = ranks[i, :width]
    return np.asarray(forward[(ranks[forward, :width] == i).any(axis=1)], dtype=np.int64)


def _dense_distances(encoding: FloatArray) -> FloatArray:
    """Rows one after the other, each against the samples that share a non-zero column, by an inverted index."""
    num_samples = len(encoding)
    holders = [np.flatnonzero(encoding[:, column]) for column in range(num_samples)]
    distances = np.empty((num_samples, num_samples), dtype=np.float32)
    for i in range(num_samples):
        overlap = np.zeros(num_samples, dtype=np.float32)
        for column in np.flatnonzero(encoding[i]):
            rows = holders[column]
            overlap[rows] += np.minimum(encoding[i, column], encoding[rows, column])
        distances[i] = 1 - overlap / (2 - overlap)
    return distances.clip(0)
