"""Clusters of samples from a sparse graph of distances: pseudo labels for training, identities for the server.

A graph is a symmetric CSR matrix of distances (`reid.neighbours.jaccard_graph`); an absent entry is farther than the
bound the graph was made with. A pseudo label is the index of a cluster, -1 an outlier. Labels are numbered by the first
sample of each cluster, so that equal partitions have equal labels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse
from sklearn.cluster import DBSCAN

from reid.embedding import normalise
from reid.map_equation import infomap
from reid.types import FloatArray, IntArray

OUTLIER = -1

ClusterKind = Literal["dbscan", "infomap"]
"""How a graph is clustered; `infomap` is an extra of the installation (`reid.map_equation`)."""


def dbscan(graph: sparse.csr_matrix, *, eps: float, min_samples: int = 4) -> IntArray:
    """Density clustering (Ester et al., KDD 1996) on a sparse graph.

    Args:
        graph: (N, N) distances; must hold every pair at most `eps` apart, the diagonal included.
        eps: Samples at most this far apart are neighbours.
        min_samples: Neighbours, itself included, that make a sample a core of its cluster.

    Returns:
        (N,) int64 pseudo labels, -1 for outliers.
    """
    labels = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(graph)
    return renumber(labels.astype(np.int64))


def cluster(
    graph: sparse.csr_matrix,
    *,
    eps: float,
    min_samples: int = 4,
    cannot_link: IntArray | None = None,
    kind: ClusterKind = "dbscan",
) -> IntArray:
    """Clusters that never hold two samples that must be apart.

    Forbidden pairs are no neighbours to begin with. A cluster that still joins some through others is split: its edges
    are taken from the shortest on, and each joins two parts unless a forbidden pair would then be in one.

    Args:
        graph: See `dbscan`.
        eps: See `dbscan`.
        min_samples: See `dbscan`; a part with fewer members after a split becomes outliers.
        cannot_link: (P, 2) pairs of samples, or None.
        kind: How to cluster before any split.

    Returns:
        (N,) int64 pseudo labels, -1 for outliers.

    Raises:
        ConfigError: What this kind needs is not installed.
    """
    if cannot_link is None or len(cannot_link) == 0:
        return _labels_of(kind, graph, eps, min_samples)
    allowed = _without_pairs(graph, cannot_link)
    labels = _labels_of(kind, allowed, eps, min_samples)
    together = labels[cannot_link[:, 0]] == labels[cannot_link[:, 1]]
    violated = np.unique(labels[cannot_link[together, 0]])
    for label in violated[violated != OUTLIER]:
        members = np.flatnonzero(labels == label)
        parts = _split(allowed[members][:, members].tocoo(), _pairs_within(members, cannot_link), eps)
        sizes = np.bincount(parts)
        labels[members] = np.where(sizes[parts] >= min_samples, labels.max() + 1 + parts, OUTLIER)
    return renumber(labels)


def centroids(feats_ND: FloatArray, labels_N: IntArray) -> FloatArray:
    """Unit mean of each cluster's members.

    Args:
        feats_ND: Unit-norm float32.
        labels_N: Pseudo labels 0..K-1, each used; -1 is left out.

    Returns:
        (K, D) float32, unit norm.

    Raises:
        ValueError: No sample has a label.
    """
    inliers = np.flatnonzero(labels_N != OUTLIER)
    if inliers.size == 0:
        raise ValueError("centroids need at least one cluster, came outliers only")
    num_clusters = int(labels_N.max()) + 1
    members = sparse.csr_matrix(
        (np.ones(inliers.size, np.float32), (labels_N[inliers], inliers)), shape=(num_clusters, len(labels_N))
    )
    sums = np.asarray(members @ feats_ND, dtype=np.float32)
    return normalise(sums)


def renumber(labels_N: IntArray) -> IntArray:
    """Number clusters from 0 in order of their first sample; outliers stay -1."""
    values, first, inverse = np.unique(labels_N, return_index=True, return_inverse=True)
    is_cluster = values != OUTLIER
    new = np.full(len(values), OUTLIER, dtype=np.int64)
    new[np.flatnonzero(is_cluster)[np.argsort(first[is_cluster])]] = np.arange(int(is_cluster.sum()))
    return new[inverse]


def _labels_of(kind: ClusterKind, graph: sparse.csr_matrix, eps: float, min_samples: int) -> IntArray:
    if kind == "infomap":
        return renumber(infomap(graph, eps=eps, min_samples=min_samples))
    return dbscan(graph, eps=eps, min_samples=min_samples)


def _without_pairs(graph: sparse.csr_matrix, pairs: IntArray) -> sparse.csr_matrix:
    """A copy of the graph in which the given pairs are absent."""
    num_samples = graph.shape[0]
    coo = graph.tocoo()
    keys = coo.row.astype(np.int64) * num_samples + coo.col
    forbidden = np.concatenate([pairs[:, 0] * num_samples + pairs[:, 1], pairs[:, 1] * num_samples + pairs[:, 0]])
    keep = ~np.isin(keys, forbidden)
    return sparse.csr_matrix((coo.data[keep], (coo.row[keep], coo.col[keep])), shape=graph.shape)


def _pairs_within(members: IntArray, pairs: IntArray) -> IntArray:
    """The pairs whose both ends are members, as positions in `members` (which is sorted)."""
    inside = pairs[np.isin(pairs, members).all(axis=1)]
    return np.searchsorted(members, inside)


def _split(edges: sparse.coo_matrix, forbidden: IntArray, eps: float) -> IntArray:
    """Join samples along edges from the shortest on, never bringing a forbidden pair together; parts from 0."""
    num_samples = edges.shape[0]
    part = np.arange(num_samples)
    members = {i: [i] for i in range(num_samples)}
    enemies: dict[int, set[int]] = {i: set() for i in range(num_samples)}
    for a, b in forbidden.tolist():
        enemies[a].add(b)
        enemies[b].add(a)
    usable = np.flatnonzero((edges.row < edges.col) & (edges.data <= eps))
    for edge in usable[np.argsort(edges.data[usable], kind="stable")]:
        a, b = sorted((int(part[edges.row[edge]]), int(part[edges.col[edge]])), key=lambda p: -len(members[p]))
        if a == b or not enemies[a].isdisjoint(members[b]):
            continue
        part[members[b]] = a
        members[a] += members.pop(b)
        enemies[a] |= enemies.pop(b)
    return np.asarray(np.unique(part, return_inverse=True)[1], dtype=np.int64)
