"""Clusters of a few tracklets per person: average linkage on two measures at once, under constraints.

Two parts join when the mean similarity of their pairs **and** the mean of their pairs' affinities are high enough, the
best pair of parts first. Affinity is 1 minus the k-reciprocal Jaccard distance. It says that two tracklets have the
same neighbours, which tells people apart where many look alike; similarity says that they look alike at all, which
counts where there are so few that everybody is everybody's neighbour. Means do not chain: one odd pair joins nothing.

Shape letters: N tracklets, D embedding.
"""

from __future__ import annotations

import heapq

import numpy as np
from scipy import sparse

from reid.types import FloatArray, IntArray
from server.matching.constraints import Parts

_AFFINITY_SHARE = 0.5
"""What affinity counts beside similarity in the order of joining; neither is decided by it."""


def agglomerate(
    feats_ND: FloatArray,
    weights_N: FloatArray,
    graph: sparse.csr_matrix,
    parts: Parts,
    *,
    least_similarity: float,
    least_affinity: float,
) -> IntArray:
    """Join parts until no two are near enough.

    Args:
        feats_ND: Unit-norm float32.
        weights_N: float32, above 0: how much each counts in a mean.
        graph: Symmetric (N, N) Jaccard distances; an absent pair is 1 apart. See `reid.neighbours.jaccard_graph`.
        parts: What is together already, and what must stay apart; changed in place.
        least_similarity: Least mean cosine of two parts that join.
        least_affinity: Least mean affinity of two parts that join, above 0.

    Returns:
        (N,) int64, equal for tracklets of one part.
    """
    linkage = _Linkage(feats_ND, weights_N, graph, parts.part_N, least_similarity, least_affinity)
    while (pair := linkage.pop()) is not None:
        if parts.join(*pair):
            linkage.join(*pair)
    return parts.part_N


class _Linkage:
    """Weighted sums of parts, and the pairs of them that may join, best first."""

    def __init__(
        self,
        feats_ND: FloatArray,
        weights_N: FloatArray,
        graph: sparse.csr_matrix,
        part_N: IntArray,
        least_similarity: float,
        least_affinity: float,
    ) -> None:
        num_samples = len(feats_ND)
        membership = sparse.csr_matrix(
            (weights_N.astype(np.float64), (part_N, np.arange(num_samples))), shape=(num_samples, num_samples)
        )
        self._sums_ND = membership @ feats_ND.astype(np.float64)
        self._weights_N = np.asarray(membership.sum(axis=1)).ravel()
        self._least_similarity, self._least_affinity = least_similarity, least_affinity
        self._affinities = _affinities(membership, graph)
        self._versions = [0] * num_samples
        self._queue: list[tuple[float, int, int, int, int]] = []
        for part, near in self._affinities.items():
            self._push(part, [other for other in near if other > part])

    def pop(self) -> tuple[int, int] | None:
        """The best pair of parts that are as they were when they were compared; the first one's name is smaller."""
        while self._queue:
            _, a, b, version_a, version_b = heapq.heappop(self._queue)
            if (self._versions[a], self._versions[b]) == (version_a, version_b):
                return a, b
        return None

    def join(self, a: int, b: int) -> None:
        """Add part `b` to part `a`, and compare it anew with what is near."""
        self._sums_ND[a] += self._sums_ND[b]
        self._weights_N[a] += self._weights_N[b]
        self._versions[a] += 1
        self._versions[b] += 1
        near = self._affinities[a]
        for other, affinity in self._affinities.pop(b).items():
            del self._affinities[other][b]
            if other != a:
                near[other] = self._affinities[other][a] = near.get(other, 0.0) + affinity
        self._push(a, list(near))

    def _push(self, part: int, others: list[int]) -> None:
        if not others:
            return
        pair_weights = self._weights_N[part] * self._weights_N[others]
        similarities = self._sums_ND[others] @ self._sums_ND[part] / pair_weights
        affinities = np.array([self._affinities[part][other] for other in others]) / pair_weights
        near = (similarities >= self._least_similarity) & (affinities >= self._least_affinity)
        scores = similarities + _AFFINITY_SHARE * affinities
        for place in np.flatnonzero(near).tolist():
            a, b = sorted((part, others[place]))
            heapq.heappush(self._queue, (-float(scores[place]), a, b, self._versions[a], self._versions[b]))


def _affinities(membership: sparse.csr_matrix, graph: sparse.csr_matrix) -> dict[int, dict[int, float]]:
    """Weighted sums of 1 - distance over the pairs of every two parts that have a near pair."""
    affinity = graph.astype(np.float64)
    affinity.data = 1.0 - affinity.data
    between = (membership @ affinity @ membership.T).tocoo()
    found: dict[int, dict[int, float]] = {int(part): {} for part in np.unique(membership.nonzero()[0])}
    for a, b, total in zip(between.row.tolist(), between.col.tolist(), between.data.tolist(), strict=True):
        if a != b:
            found[a][b] = total
    return found
