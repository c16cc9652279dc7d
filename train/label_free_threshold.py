"""The match threshold of an adapted release without labels: the parent's, carried over by what both make of some pairs.

Two tracklets that overlap in one camera show two people. The share of such pairs that the parent's threshold lets match
is what the new threshold lets match too. Where there are too few of them, all pairs of tracklets stand in, next to all
of which show two people on a site with many; that is right at a false-match rate of 1 % and too strict by some
hundredths at 0.1 %, where the pairs of one person outnumber the false matches. On a site with few people they do so at
any rate. There the threshold stays where it was between two means: that of all pairs, and that of the two ends of each
tracklet, which show one person. All pairs have to do again where the parent sees next to no difference between the
two. Measured errors are in docs/log.md.

Shape letters: T tracklets, D embedding, P pairs, E tracklets of two crops or more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reid.clustering import centroids
from reid.embedding import normalise
from reid.release import Release, Thresholds
from reid.types import FloatArray, IntArray
from train.parent_link import EmbeddedTwice
from train.site import SiteCrops

LEAST_PAIRS = 50
"""Fewer pairs say nothing about a share of a few percent."""
LEAST_MATCHING = 3
"""Fewer pairs at or above the parent's threshold say nothing about where the new one must lie."""
MOST_MATCHING_SHARE = 0.02
"""Where more of all pairs match, most of these show one person: the site has few people."""
LEAST_TRACKLETS = 10
"""Fewer tracklets say nothing about how alike the two ends of one are."""
LEAST_GAP = 0.05
"""Means of strangers and of ends that lie nearer to each other say nothing about what is between them."""


def carry_threshold(parent: Release, held_out: SiteCrops, embedded: EmbeddedTwice) -> Thresholds:
    """Find the candidate's threshold.

    Args:
        parent: Its threshold is carried over.
        held_out: Crops that were not trained on.
        embedded: Those crops in both spaces.

    Returns:
        The threshold with its origin in words; the parent's own where there are too few tracklets.
    """
    threshold, space = parent.manifest.thresholds.match, parent.ref.space
    old_TD, new_TD = (centroids(feats, held_out.tracklets) for feats in (embedded.old_ND, embedded.new_ND))
    upper = np.stack(np.triu_indices(len(old_TD), k=1), axis=1)
    as_before = f"as {threshold:.4f} did in its parent's {space}"
    apart = _carried(threshold, _similarities(old_TD, held_out.apart), _similarities(new_TD, held_out.apart))
    if apart is not None:
        what = "pairs of held-out tracklets that overlap in one camera match"
        return Thresholds(match=apart.match, how=f"lets {apart.num_matching} of {apart.num_pairs} {what}, {as_before}")
    old_P, new_P = _similarities(old_TD, upper), _similarities(new_TD, upper)
    pairs = _carried(threshold, old_P, new_P)
    old_E, new_E = (_ends_similarities(feats, held_out) for feats in (embedded.old_ND, embedded.new_ND))
    has_few_people = pairs is None or pairs.num_matching > MOST_MATCHING_SHARE * pairs.num_pairs
    if has_few_people and len(old_E) >= LEAST_TRACKLETS and old_E.mean() - old_P.mean() >= LEAST_GAP:
        share = float((threshold - old_P.mean()) / (old_E.mean() - old_P.mean()))
        match = float(np.clip((1 - share) * new_P.mean() + share * new_E.mean(), -1.0, 1.0))
        what = f"of the way from the mean similarity of {len(old_TD)} held-out tracklets to that of their two ends"
        return Thresholds(match=match, how=f"lies {share:.0%} {what}, {as_before}")
    if pairs is None:
        how = f"that of its parent {space}: too few held-out tracklets to calibrate without labels"
        return Thresholds(match=threshold, how=how)
    what = "pairs of held-out tracklets match"
    return Thresholds(match=pairs.match, how=f"lets {pairs.num_matching} of {pairs.num_pairs} {what}, {as_before}")


class _Carried(NamedTuple):
    """A threshold, and how many of how many pairs match at it, before and now."""

    match: float
    num_matching: int
    num_pairs: int


def _carried(threshold: float, old_P: FloatArray, new_P: FloatArray) -> _Carried | None:
    """The threshold that lets as many pairs match as the old one did; None where they are too few to tell."""
    num_matching = int(np.count_nonzero(old_P >= threshold))
    if num_matching < LEAST_MATCHING or len(old_P) < LEAST_PAIRS:
        return None
    match = float(np.clip(np.partition(new_P, -num_matching)[-num_matching], -1.0, 1.0))
    return _Carried(match, num_matching, len(old_P))


def _similarities(means_TD: FloatArray, pairs: IntArray) -> FloatArray:
    similarities: FloatArray = np.sum(means_TD[pairs[:, 0]] * means_TD[pairs[:, 1]], axis=1)
    return similarities


def _ends_similarities(feats_ND: FloatArray, site: SiteCrops) -> FloatArray:
    """(E,) similarity of the two halves of each tracklet that has two crops or more, crops in their order."""
    rows_of = [np.flatnonzero(site.tracklets == tracklet) for tracklet in range(site.tracklets.max() + 1)]
    halves = [np.array_split(rows, 2) for rows in rows_of if len(rows) > 1]
    if not halves:
        return np.empty(0, dtype=np.float32)
    heads, tails = (
        normalise(np.stack([feats_ND[rows].mean(axis=0) for rows in side])) for side in zip(*halves, strict=True)
    )
    similarities: FloatArray = np.sum(heads * tails, axis=1)
    return similarities
