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

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reid.types import AnyArray, FloatArray, IntArray

JUNK_PID = -1
_BLOCK_ENTRIES = 1 << 25
"""Similarities held at once: 128 MiB of float32."""
SimilaritiesOf = Callable[[slice], FloatArray]
"""Rows of the query to their (B, G) similarities to the gallery; valid until the next call."""


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
    if not kept.all():
        gallery_GD, gallery = gallery_GD[kept], Labels(gallery.pids[kept], gallery.camids[kept])
    return score_blocks(cosine_blocks(query_QD, gallery_GD), query, gallery, max_rank=max_rank)


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
    return score_blocks(lambda rows: similarity_QG[rows], query, gallery, max_rank=max_rank)


def cosine_blocks(query_QD: FloatArray, gallery_GD: FloatArray) -> SimilaritiesOf:
    """Cosine similarities of embeddings, as `score_blocks` asks for them; every answer overwrites the one before."""
    memory = np.empty(0, dtype=np.result_type(query_QD, gallery_GD))

    def similarities_of(rows: slice) -> FloatArray:
        nonlocal memory
        block_BD = query_QD[rows]
        num_entries = len(block_BD) * len(gallery_GD)
        # Fresh pages for each block would cost a tenth of the product.
        if memory.size < num_entries:
            memory = np.empty(num_entries, dtype=memory.dtype)
        out_BG = memory[:num_entries].reshape(len(block_BD), len(gallery_GD))
        product: FloatArray = np.matmul(block_BD, gallery_GD.T, out=out_BG)
        return product

    return similarities_of


def score_blocks(
    similarities_of: SimilaritiesOf, query: Labels, gallery: Labels, *, max_rank: int = 50
) -> RetrievalScores:
    """Score similarities that are made for a block of queries at a time.

    Args:
        similarities_of: Rows of the query to their (B, G) similarities to the gallery.
        query: Labels of the queries.
        gallery: Labels of the gallery.
        max_rank: Length of `cmc`.

    Raises:
        ValueError: A similarity is not finite, or no query has a match.
    """
    members, junk = _rows_by_pid(gallery.pids), np.flatnonzero(gallery.pids == JUNK_PID)
    members.pop(JUNK_PID, None)
    ranks_of_queries: list[IntArray] = []
    block = max(1, _BLOCK_ENTRIES // max(1, len(gallery.pids)))
    for first in range(0, len(query.pids), block):
        similarity_BG = similarities_of(slice(first, first + block))
        _check_finite(similarity_BG)
        for row, similarities_G in enumerate(similarity_BG, start=first):
            same_pid = members.get(int(query.pids[row]))
            if same_pid is None:
                continue
            is_other_camera = gallery.camids[same_pid] != query.camids[row]
            matches, excluded = same_pid[is_other_camera], same_pid[~is_other_camera]
            if matches.size:
                excluded = np.concatenate([excluded, junk]) if junk.size else excluded
                ranks_of_queries.append(match_ranks(similarities_G, matches=matches, excluded=excluded))
    return _summarise(ranks_of_queries, num_queries=len(query.pids), max_rank=max_rank)


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


def _check_lengths(num_query: int, num_gallery: int, query: Labels, gallery: Labels) -> None:
    came = num_query, num_gallery
    for wanted in ((len(query.pids), len(gallery.pids)), (len(query.camids), len(gallery.camids))):
        if came != wanted:
            raise ValueError(
                f"{came[0]} queries and {came[1]} gallery rows, but labels for {wanted[0]} and {wanted[1]}"
            )


def _check_finite(similarity_BG: FloatArray) -> None:
    # A sum is one pass without a copy; it is finite only if all are. A sum that overflows is looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        is_finite = bool(np.isfinite(similarity_BG.sum()))
    if not is_finite and not np.isfinite(similarity_BG).all():
        raise ValueError("a similarity is not finite: normalise the embeddings, which checks them")


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
    # `flatnonzero` and `take` do in half the time what indexing with the mask does.
    near_rows = np.flatnonzero(is_near)
    near = similarities_G.take(near_rows)
    # Values alone sort several times faster than an argsort; ties, which are rare, are then settled one by one.
    near.sort()
    past_equal = near.searchsorted(wanted, "right")
    ranks: IntArray = len(near) - past_equal + 1
    is_tied = (past_equal > 1) & (near[past_equal - 2] == wanted)
    for place in np.flatnonzero(is_tied):
        earlier = near_rows[: near_rows.searchsorted(matches[place])]
        ranks[place] += np.count_nonzero(similarities_G[earlier] == wanted[place])
    ranks.sort()
    return ranks


def _rows_by_pid(pids: IntArray) -> dict[int, IntArray]:
    """Rows of each pid, ascending."""
    order = np.argsort(pids, kind="stable")
    names, starts = np.unique(pids[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts)[1:], strict=True))


def _summarise(ranks_of_queries: list[IntArray], *, num_queries: int, max_rank: int) -> RetrievalScores:
    if not ranks_of_queries:
        raise ValueError(f"none of {num_queries} queries has a match under another camera: nothing can be scored")
    num_matches = np.array([len(ranks) for ranks in ranks_of_queries])
    firsts = np.cumsum(num_matches) - num_matches
    ranks = np.concatenate(ranks_of_queries)
    matches_so_far = np.arange(1, len(ranks) + 1) - np.repeat(firsts, num_matches)
    precisions = np.add.reduceat(matches_so_far / ranks, firsts) / num_matches
    first_hits, last_hits = ranks[firsts], ranks[firsts + num_matches - 1]
    return RetrievalScores(
        mAP=float(precisions.mean()),
        mINP=float((num_matches / last_hits).mean()),
        cmc=np.array([np.mean(first_hits <= k) for k in range(1, max_rank + 1)]),
        num_queries=len(ranks_of_queries),
        num_unmatched=num_queries - len(ranks_of_queries),
    )
