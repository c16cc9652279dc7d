"""Retrieval scores: the one definition of mAP, CMC and mINP, and of a threshold at a fixed false-match rate.

Protocol (Zheng et al., Scalable Person Re-identification, ICCV 2015). For each query, gallery crops of junk (pid -1)
and of the pid **and** camid of the query are left out: to find a person again in the next frame of one camera is no
achievement. A query whose pid then has no crop left is left out too, and counted. The rest is ranked by similarity,
best first; of equal similarities the earlier gallery row ranks first (a stable sort).

    average precision   mean over the query's matches of (matches up to here / rank of this one)
    cmc[k-1]            share of queries with a match among the first k
    inverse negative penalty (Ye et al., arXiv 2001.04193)   number of matches / rank of the last one

Nothing is ever sorted whole: only what is at least as similar as a query's last match decides its scores. Queries are
scored in blocks, so that no Q x G matrix need exist.

Shape letters: Q query, G gallery, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reid.types import AnyArray, BoolArray, FloatArray, IntArray

JUNK_PID = -1
_BLOCK_ENTRIES = 1 << 24
"""Similarities held at once: 64 MiB of float32."""


class Labels(NamedTuple):
    """Who and where.

    Attributes:
        pids: (N,) int64 identities; -1 junk.
        camids: (N,) int64 cameras.
    """

    pids: IntArray
    camids: IntArray


@dataclass(frozen=True, kw_only=True)
class RetrievalScores:
    """Scores of one retrieval task, each in [0, 1].

    Attributes:
        mAP: Mean average precision.
        mINP: Mean inverse negative penalty.
        cmc: (K,) float64; `cmc[k-1]` is the share of queries with a match among the first k.
        num_queries: Queries that count.
        num_unmatched: Queries left out: junk, or without a crop of their pid under another camera.
    """

    mAP: float
    mINP: float
    cmc: AnyArray
    num_queries: int
    num_unmatched: int

    def rank(self, k: int) -> float:
        """Share of queries with a match among the first k."""
        return float(self.cmc[k - 1])


def score_embeddings(
    query_QD: FloatArray, gallery_GD: FloatArray, query: Labels, gallery: Labels, *, max_rank: int = 50
) -> RetrievalScores:
    """Score unit-norm embeddings by cosine similarity, block by block.

    Args:
        query_QD: (Q, D) float32, unit norm.
        gallery_GD: (G, D) float32, unit norm.
        query: Labels of the queries.
        gallery: Labels of the gallery.
        max_rank: Length of `cmc`.

    Raises:
        ValueError: Lengths differ, a similarity is not finite, or no query has a match.
    """
    _check_lengths(len(query_QD), len(gallery_GD), query, gallery)
    kept = gallery.pids != JUNK_PID
    gallery_GD, gallery = gallery_GD[kept], _only(gallery, kept)
    block = max(1, _BLOCK_ENTRIES // max(1, len(gallery_GD)))
    blocks = ((first, query_QD[first : first + block] @ gallery_GD.T) for first in range(0, len(query_QD), block))
    return _score(blocks, query, gallery, max_rank)


def score_similarities(
    similarity_QG: FloatArray, query: Labels, gallery: Labels, *, max_rank: int = 50
) -> RetrievalScores:
    """Score a matrix of similarities, high is near; for distances, hand in their negatives.

    Args:
        similarity_QG: (Q, G) float, not changed.
        query: Labels of the queries.
        gallery: Labels of the gallery.
        max_rank: Length of `cmc`.

    Raises:
        ValueError: Lengths differ, a similarity is not finite, or no query has a match.
    """
    _check_lengths(similarity_QG.shape[0], similarity_QG.shape[1], query, gallery)
    kept = gallery.pids != JUNK_PID
    block = max(1, _BLOCK_ENTRIES // max(1, len(kept)))
    blocks = (
        (first, similarity_QG[first : first + block] if kept.all() else similarity_QG[first : first + block, kept])
        for first in range(0, len(similarity_QG), block)
    )
    return _score(blocks, query, _only(gallery, kept), max_rank)


@dataclass(frozen=True, kw_only=True)
class MatchThreshold:
    """A similarity from which on two samples are taken for one person, and what it costs."""

    similarity: float
    false_match_rate: float
    """Share of pairs of two persons at or above it."""
    true_match_rate: float
    """Share of pairs of one person at or above it."""


def threshold_at_false_match_rate(positive: AnyArray, negative: AnyArray, *, rate: float) -> MatchThreshold:
    """Find the lowest similarity at which at most a given share of pairs of two persons match.

    Args:
        positive: Similarities of pairs of one person, any shape.
        negative: Similarities of pairs of two persons, any shape.
        rate: Largest false-match rate, in (0, 1).

    Raises:
        ValueError: Either is empty or not finite, or there are too few negative pairs to tell that rate from 0.
    """
    positive, negative = np.ravel(positive), np.ravel(negative)
    if not (positive.size and np.isfinite(positive).all() and np.isfinite(negative).all()):
        raise ValueError("similarities of positive pairs are empty, or some are not finite")
    num_allowed = int(rate * negative.size)
    if num_allowed < 1:
        raise ValueError(f"{negative.size} pairs of two persons cannot show a false-match rate of {rate}")
    # The threshold lies just above the first negative that must not match; everything equal to it stays out too.
    first_refused = np.partition(negative, negative.size - num_allowed - 1)[negative.size - num_allowed - 1]
    similarity = float(np.nextafter(first_refused, np.inf))
    return MatchThreshold(
        similarity=similarity,
        false_match_rate=float(np.mean(negative >= similarity)),
        true_match_rate=float(np.mean(positive >= similarity)),
    )


def _only(who: Labels, kept: BoolArray) -> Labels:
    return Labels(who.pids[kept], who.camids[kept])


def _check_lengths(num_query: int, num_gallery: int, query: Labels, gallery: Labels) -> None:
    came = num_query, num_gallery
    for wanted in ((len(query.pids), len(gallery.pids)), (len(query.camids), len(gallery.camids))):
        if came != wanted:
            raise ValueError(
                f"{came[0]} queries and {came[1]} gallery rows, but labels for {wanted[0]} and {wanted[1]}"
            )


def _score(blocks: Iterator[tuple[int, FloatArray]], query: Labels, gallery: Labels, max_rank: int) -> RetrievalScores:
    members = _rows_by_pid(gallery.pids)
    precisions: list[float] = []
    penalties: list[float] = []
    first_hits: list[int] = []
    for first, similarity_BG in blocks:
        if not np.isfinite(similarity_BG).all():
            raise ValueError("a similarity is not finite: normalise the embeddings, which checks them")
        for row, similarities_G in enumerate(similarity_BG, start=first):
            same_pid = members.get(int(query.pids[row]))
            if same_pid is None:
                continue
            is_other_camera = gallery.camids[same_pid] != query.camids[row]
            if not is_other_camera.any():
                continue
            ranks = match_ranks(similarities_G, matches=same_pid[is_other_camera], excluded=same_pid[~is_other_camera])
            precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
            penalties.append(len(ranks) / float(ranks[-1]))
            first_hits.append(int(ranks[0]))
    return _summarise(precisions, penalties, first_hits, num_queries=len(query.pids), max_rank=max_rank)


def match_ranks(similarities_G: FloatArray, *, matches: IntArray, excluded: IntArray) -> IntArray:
    """Rank one query's matches within the gallery.

    Args:
        similarities_G: (G,) finite similarities to the query.
        matches: Rows of its matches, at least one, ascending.
        excluded: Rows that do not count.

    Returns:
        Ranks from 1, ascending, one per match.
    """
    wanted = similarities_G[matches]
    is_near = similarities_G >= wanted.min()
    is_near[excluded] = False
    near = similarities_G[is_near]
    # Values alone sort several times faster than an argsort; ties, which are rare, are then settled one by one.
    near.sort()
    first_equal, past_equal = np.searchsorted(near, wanted, "left"), np.searchsorted(near, wanted, "right")
    ranks: IntArray = len(near) - past_equal + 1
    for place in np.flatnonzero(past_equal - first_equal > 1):
        earlier = slice(0, matches[place])
        ranks[place] += np.count_nonzero(is_near[earlier] & (similarities_G[earlier] == wanted[place]))
    ranks.sort()
    return ranks


def _rows_by_pid(pids: IntArray) -> dict[int, IntArray]:
    """Rows of each pid, ascending."""
    order = np.argsort(pids, kind="stable")
    names, starts = np.unique(pids[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts)[1:], strict=True))


def _summarise(
    precisions: list[float], penalties: list[float], first_hits: list[int], *, num_queries: int, max_rank: int
) -> RetrievalScores:
    if not precisions:
        raise ValueError(f"none of {num_queries} queries has a match under another camera: nothing can be scored")
    hits = np.array(first_hits)
    return RetrievalScores(
        mAP=float(np.mean(precisions)),
        mINP=float(np.mean(penalties)),
        cmc=np.array([np.mean(hits <= k) for k in range(1, max_rank + 1)]),
        num_queries=len(precisions),
        num_unmatched=num_queries - len(precisions),
    )
