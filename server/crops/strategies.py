"""In which order tracklets are worth asking for. Pure; orders are made as far as they are walked.

A tracklet teaches little without others of its person beside it, since training clusters what it gets: clusters are
asked for whole, and a strategy decides which come first. Asking for single tracklets far from each other (plain
k-centre) did worse than asking at random: it leaves every cluster too thin to be found again.

- `boundary`: the tracklet of each cluster that another cluster contests most, where the support samples of implicit
  sample extension lie (Zhang et al., ISE, CVPR 2022, arXiv 2204.06892), with both clusters.
- `diverse`: k-centre greedy (Gonzalez 1985; for active learning Sener and Savarese, arXiv 1708.00489) over the
  centroids of loose clusters: next is always the one that is least like those before it.
- `random`: single tracklets in any order.

Shape letters: N tracklets, D embedding, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np

from reid.clustering import OUTLIER, centroids, cluster
from reid.neighbours import jaccard_graph
from reid.types import FloatArray, IntArray
from server.crops.settings import Strategy

_K1, _K2, _MIN_SAMPLES = 12, 3, 2
"""As adaptation clusters tracklets: a person has few of them."""
_TIGHT, _LOOSE = 0.5, 0.7
"""Largest Jaccard distance of neighbours: as in adaptation, and where clusters that it may part hang together."""
_TRUSTED_TRACKLETS = 20.0
"""Of a camera with so many tracklets half of its mean is taken away; with more, more."""


def order_tracklets(
    strategy: Strategy, feats_ND: FloatArray, cameras_N: IntArray, apart_P2: IntArray, rng: np.random.Generator
) -> Iterator[int]:
    """Every tracklet once, the most wanted first.

    Args:
        strategy: Which.
        feats_ND: Unit-norm float32 means of tracklets.
        cameras_N: int64 camera of each.
        apart_P2: int64 pairs of rows that show two people.
        rng: Draws where nothing else decides.
    """
    if len(feats_ND) == 0:
        return iter(())
    if strategy == "random":
        return iter(rng.permutation(len(feats_ND)).tolist())
    feats = _without_cameras(feats_ND, cameras_N)
    eps = _TIGHT if strategy == "boundary" else _LOOSE
    graph = jaccard_graph(feats, k1=_K1, k2=_K2, max_distance=eps)
    labels = cluster(graph, eps=eps, min_samples=_MIN_SAMPLES, cannot_link=apart_P2)
    outliers = rng.permutation(np.flatnonzero(labels == OUTLIER)).tolist()
    if len(outliers) == len(labels):
        return iter(outliers)
    groups = _contested(feats, labels, rng) if strategy == "boundary" else _spread(feats, labels, rng)
    return _each_once(chain(groups, outliers))


def _spread(feats_ND: FloatArray, labels_N: IntArray, rng: np.random.Generator) -> Iterator[int]:
    """Clusters, the next one always the least like those before it."""
    members = _members(labels_N)
    for label in _k_centres(centroids(feats_ND, labels_N), rng):
        yield from members[label]


def _contested(feats_ND: FloatArray, labels_N: IntArray, rng: np.random.Generator) -> Iterator[int]:
    """Of each cluster the tracklet that is contested most, its cluster, and the one that contests it."""
    centroids_KD = centroids(feats_ND, labels_N)
    members = _members(labels_N)
    for label in _k_centres(centroids_KD, rng):
        rows = np.array(members[label])
        similarities = feats_ND[rows] @ centroids_KD.T
        own = similarities[:, label].copy()
        similarities[:, label] = -np.inf
        row = int(np.argmin(own - similarities.max(axis=1)))
        yield from (int(rows[row]), *members[label])
        if len(members) > 1:
            yield from members[int(similarities[row].argmax())]


def _k_centres(points_KD: FloatArray, rng: np.random.Generator) -> Iterator[int]:
    """Rows, each as far as can be from all before it, the first drawn."""
    row = int(rng.integers(len(points_KD)))
    nearest_K = np.full(len(points_KD), -np.inf, dtype=np.float32)
    for _ in range(len(points_KD)):
        yield row
        np.maximum(nearest_K, points_KD @ points_KD[row], out=nearest_K)
        nearest_K[row] = np.inf
        row = int(nearest_K.argmin())


def _members(labels_N: IntArray) -> list[list[int]]:
    """Rows of each cluster."""
    rows = np.argsort(labels_N, kind="stable")
    bounds = np.searchsorted(labels_N[rows], np.arange(labels_N.max() + 2))
    return [rows[start:end].tolist() for start, end in pairwise(bounds.tolist())]


def _without_cameras(feats_ND: FloatArray, cameras_N: IntArray) -> FloatArray:
    """Take from each what all of its camera have in common, less where the camera saw few; unit norm again."""
    _, camera_of_N, counts = np.unique(cameras_N, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), feats_ND.shape[1]), dtype=np.float32)
    np.add.at(means, camera_of_N, feats_ND)
    trust = counts / (counts + _TRUSTED_TRACKLETS)
    means = (means / counts[:, None] * trust[:, None]).astype(np.float32)
    feats = feats_ND - means[camera_of_N]
    return np.asarray(feats / np.maximum(np.linalg.norm(feats, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _each_once(rows: Iterator[int]) -> Iterator[int]:
    seen: set[int] = set()
    for row in rows:
        if row not in seen:
            seen.add(row)
            yield row
