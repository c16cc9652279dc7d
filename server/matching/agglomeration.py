"""Joins the tracklets of a window by average linkage: the mean similarity of all pairs of two parts, best pair first.

Means do not chain: one odd pair joins nothing. The mean between a joined part and a third lies between those of the two
that joined. So a joined part is compared only with what was near enough to one of the two, and no N x N matrix is kept.

Shape letters: N tracklets, K parts, D embedding.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
from scipy import sparse

from reid.types import FloatArray, IntArray
from server.matching.constraints import Parts

_ROWS_AT_ONCE = 256
"""Parts that are compared with all others in one product; bounds memory."""


def agglomerate(
    feats_ND: FloatArray,
    weights_N: FloatArray,
    parts: Parts,
    *,
    among: Iterable[IntArray],
    least_similarity: float,
) -> None:
    """Join parts until no two are near enough.

    Args:
        feats_ND: Unit-norm float32.
        weights_N: float32, above 0: how much each counts in a mean.
        parts: What is together already, and what must stay apart; changed in place.
        among: Groups of rows. Only parts that meet in a group join, and what has joined meets whom either met.
        least_similarity: Least mean cosine of two parts that join.
    """
    linkage = _Linkage(feats_ND, weights_N, parts.part_N, least_similarity)
    for rows in among:
        linkage.compare(np.unique(parts.part_N[rows]))
    while (pair := linkage.pop()) is not None:
        if parts.join(*pair):
            linkage.join(*pair)
        else:
            linkage.refuse(*pair)


class _Linkage:
    """Weighted sums of parts, and who is near whom. A part is named by one of its rows.

    The queue holds each part's nearest. What joins gets no nearer to anybody than its nearer half was: the place of a
    part in the queue is never too late, and is put right when its turn comes.
    """

    def __init__(self, feats_ND: FloatArray, weights_N: FloatArray, part_N: IntArray, least_similarity: float) -> None:
        num_samples = len(feats_ND)
        membership = sparse.csr_matrix(
            (weights_N.astype(np.float64), (part_N, np.arange(num_samples))), shape=(num_samples, num_samples)
        )
        self._sums_ND = membership @ feats_ND.astype(np.float64)
        self._weights_N = np.asarray(membership.sum(axis=1)).ravel()
        self._least_similarity = least_similarity
        self._near: dict[int, dict[int, float]] = {int(part): {} for part in np.unique(part_N)}
        self._queue: list[tuple[float, int, int]] = []

    def compare(self, parts_K: IntArray) -> None:
        """Let these parts join; none of them has joined another yet."""
        means_KD = self._sums_ND[parts_K] / self._weights_N[parts_K, None]
        for start in range(0, len(parts_K), _ROWS_AT_ONCE):
            for row, similarities_K in enumerate(means_KD[start : start + _ROWS_AT_ONCE] @ means_KD.T, start):
                near = row + 1 + np.flatnonzero(similarities_K[row + 1 :] >= self._least_similarity)
                self._meet(int(parts_K[row]), parts_K[near].tolist(), similarities_K[near].tolist())
        for part in parts_K.tolist():
            self._push_nearest(part)

    def pop(self) -> tuple[int, int] | None:
        """The nearest pair of parts, the smaller name first; None when no two are near enough."""
        while self._queue:
            negative, part, other = heapq.heappop(self._queue)
            if part not in self._near:
                continue
            if self._near[part].get(other) == -negative:
                return min(part, other), max(part, other)
            self._push_nearest(part)
        return None

    def join(self, a: int, b: int) -> None:
        """Add part `b` to part `a`, and compare it anew with what was near either."""
        others = sorted((self._near[a].keys() | self._near[b].keys()) - {a, b})
        for part in (a, b):
            for other in self._near.pop(part):
                del self._near[other][part]
        self._sums_ND[a] += self._sums_ND[b]
        self._weights_N[a] += self._weights_N[b]
        self._near[a] = {}
        if others:
            similarities = self._sums_ND[others] @ self._sums_ND[a] / (self._weights_N[others] * self._weights_N[a])
            self._meet(a, others, similarities.tolist())
        self._push_nearest(a)

    def refuse(self, a: int, b: int) -> None:
        """Never offer this pair again."""
        del self._near[a][b], self._near[b][a]
        self._push_nearest(a)
        self._push_nearest(b)

    def _meet(self, part: int, others: list[int], similarities: list[float]) -> None:
        for other, similarity in zip(others, similarities, strict=True):
            if similarity >= self._least_similarity:
                self._near[part][other] = self._near[other][part] = similarity

    def _push_nearest(self, part: int) -> None:
        near = self._near[part]
        if near:
            other = min(near, key=lambda name: (-near[name], name))
            heapq.heappush(self._queue, (-near[other], part, other))
