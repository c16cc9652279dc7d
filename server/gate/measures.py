"""What can be measured of embeddings when nobody has said who is who: pure functions on arrays.

A tracklet is seen twice: its head are its first crops and its tail its last, as far apart in time as it goes. Both show
one person, so the tail should be what the head finds. Other tracklets of the **same** camera stand for other people:
few of them are the same person come back, and those weigh on parent and candidate alike. In **other** cameras nobody
knows who is who, but head and tail should find the same there, and the way there and back should end where it began.
Measures come one number a tracklet, so that two releases can be compared tracklet by tracklet.

Shape letters: N crops, T tracklets, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reid.embedding import normalise
from reid.types import BoolArray, FloatArray, IntArray

Values = npt.NDArray[np.float64]
_END_SHARE = 3
"""Head and tail are a third of a tracklet each, at least one crop: the nearer the middle, the more alike they are."""
_NEVER = -2.0
"""Below every similarity."""
_NO_SPREAD = 1e-6
"""Similarities that differ by no more are equal: float32 tells no more apart."""


@dataclass(frozen=True)
class Tracklets:
    """Which crops make up the tracklets, and who cannot be who.

    Attributes:
        heads: Rows of the first crops, by tracklet.
        tails: Rows of the last crops; none is in both.
        members: Rows of all crops.
        camids_T: int64 cameras.
        apart: (P, 2) int64 pairs of tracklets that show two people.
        together: (P, 2) int64 pairs of tracklets that show one person.
    """

    heads: Sequence[IntArray]
    tails: Sequence[IntArray]
    members: Sequence[IntArray]
    camids_T: IntArray
    apart: IntArray
    together: IntArray

    def __len__(self) -> int:
        """T."""
        return len(self.camids_T)

    @property
    def num_crops(self) -> int:
        """Crops of all tracklets."""
        return sum(len(rows) for rows in self.members)

    def subset(self, num_tracklets: int) -> Tracklets:
        """So many of them, spread evenly, without their pairs; all if there are no more."""
        num_kept = min(num_tracklets, len(self))
        kept = np.linspace(0, len(self) - 1, num_kept).round().astype(int)
        none = np.empty((0, 2), dtype=np.int64)
        return Tracklets(
            heads=[self.heads[place] for place in kept],
            tails=[self.tails[place] for place in kept],
            members=[self.members[place] for place in kept],
            camids_T=self.camids_T[kept],
            apart=none,
            together=none,
        )

    @property
    def others(self) -> BoolArray:
        """(T, T), true where two tracklets are of one camera and, as far as anybody knows, of two people."""
        others: BoolArray = self.camids_T[:, None] == self.camids_T[None, :]
        np.fill_diagonal(others, False)
        if len(self.together):
            others[self.together[:, 0], self.together[:, 1]] = False
            others[self.together[:, 1], self.together[:, 0]] = False
        return others


class Views(NamedTuple):
    """Unit-norm float32 embeddings of the tracklets, (T, D) each."""

    heads: FloatArray
    tails: FloatArray
    means: FloatArray


class Bounds(NamedTuple):
    """A mean and the interval that holds the true one."""

    low: float
    mean: float
    high: float


def make_tracklets(
    tracklets_N: IntArray, camids_N: IntArray, times_us_N: IntArray, apart: IntArray, together: IntArray
) -> Tracklets:
    """Find heads and tails.

    Args:
        tracklets_N: Number of each crop's tracklet, any integers.
        camids_N: Cameras.
        times_us_N: When each was seen.
        apart: (P, 2) pairs of such numbers; those that name a tracklet without two crops are left out.
        together: The same.

    Returns:
        The tracklets of two crops or more, numbered from 0 in order of their numbers.
    """
    names, num_crops = np.unique(tracklets_N, return_counts=True)
    names = names[num_crops > 1]
    members = []
    for name in names:
        rows = np.flatnonzero(tracklets_N == name)
        members.append(rows[np.argsort(times_us_N[rows], kind="stable")])
    sizes = [max(1, len(rows) // _END_SHARE) for rows in members]
    return Tracklets(
        heads=[rows[:size] for rows, size in zip(members, sizes, strict=True)],
        tails=[rows[-size:] for rows, size in zip(members, sizes, strict=True)],
        members=members,
        camids_T=np.array([camids_N[rows[0]] for rows in members], dtype=np.int64),
        apart=_renumbered(apart, names),
        together=_renumbered(together, names),
    )


def view(embeddings_ND: FloatArray, tracklets: Tracklets) -> Views:
    """Pool the crops of heads, tails and whole tracklets.

    Raises:
        EmbeddingError: Crops of a tracklet cancel each other out.
    """
    return Views(*(_pooled(embeddings_ND, rows) for rows in (tracklets.heads, tracklets.tails, tracklets.members)))


def own_ranks(heads_TD: FloatArray, tails_TD: FloatArray, tracklets: Tracklets) -> IntArray:
    """(T,) rank from 1 of each tracklet's own tail when its head searches the tails of its camera; ties are lost."""
    similarity_TT = heads_TD @ tails_TD.T
    is_nearer = (similarity_TT >= np.diag(similarity_TT)[:, None]) & tracklets.others
    return np.asarray(1 + is_nearer.sum(axis=1), dtype=np.int64)


def separations(heads_TD: FloatArray, tails_TD: FloatArray, tracklets: Tracklets) -> Values:
    """(T,) how far each tracklet's own tail lies above the other tails of its camera, in their standard deviations.

    0 where all of these are equally similar; NaN for a tracklet whose camera has fewer than two others.
    """
    similarity_TT = heads_TD @ tails_TD.T
    return _standing(np.diag(similarity_TT), similarity_TT, tracklets.others)


def crossings(views: Views, tracklets: Tracklets) -> Values:
    """(T,) how far finds in other cameras lie above the strangers of the own one, in their standard deviations.

    The head finds its nearest tracklet in each other camera. How near the tail is to that one counts, so that a find
    must hold for crops which did not choose it; the mean is taken over the other cameras. Strangers of the own camera
    share its light, so a network that knows cameras better than people scores low.

    0 where all strangers are equally similar; NaN for a tracklet without another camera, or whose camera has fewer than
    two others.
    """
    camids_T = tracklets.camids_T
    by_heads_TT, by_tails_TT = views.heads @ views.means.T, views.tails @ views.means.T
    total, num_ways = np.zeros(len(tracklets)), np.zeros(len(tracklets))
    for camid in np.unique(camids_T):
        found_T = np.argmax(np.where(camids_T == camid, by_heads_TT, _NEVER), axis=1)
        is_away = camids_T != camid
        total += np.where(is_away, by_tails_TT[np.arange(len(tracklets)), found_T], 0.0)
        num_ways += is_away
    found = np.divide(total, num_ways, out=np.full(len(tracklets), np.nan), where=num_ways > 0)
    return _standing(found, by_tails_TT, tracklets.others)


def agreements(views: Views, tracklets: Tracklets, *, num_neighbours: int) -> Values:
    """(T,) share of the nearest tracklets of other cameras on which head and tail agree.

    NaN for a tracklet without as many tracklets in other cameras.
    """
    elsewhere_TT = tracklets.camids_T[:, None] != tracklets.camids_T[None, :]
    if len(tracklets) <= num_neighbours:
        return np.full(len(tracklets), np.nan)
    of_heads, of_tails = (
        _nearest(np.where(elsewhere_TT, ends_TD @ views.means.T, _NEVER), num_neighbours)
        for ends_TD in (views.heads, views.tails)
    )
    shared = (of_heads[:, :, None] == of_tails[:, None, :]).any(axis=2).mean(axis=1)
    return np.where(elsewhere_TT.sum(axis=1) >= num_neighbours, shared, np.nan)


def round_trips(views: Views, tracklets: Tracklets) -> Values:
    """(T,) mean over the other cameras of 1 / rank of a tracklet's own tail on the way back.

    The way leads from the head to the nearest tracklet of the other camera, and from there to the tails of its own
    camera. NaN for a tracklet without another camera.
    """
    camids_T = tracklets.camids_T
    there_TT, back_TT = views.heads @ views.means.T, views.means @ views.tails.T
    own = np.arange(len(tracklets))
    at_home_TT = camids_T[:, None] == camids_T[None, :]
    total, num_ways = np.zeros(len(tracklets)), np.zeros(len(tracklets))
    for camid in np.unique(camids_T):
        found_T = np.argmax(np.where(camids_T == camid, there_TT, _NEVER), axis=1)
        similarity_TT = back_TT[found_T]
        ranks = ((similarity_TT >= similarity_TT[own, own][:, None]) & at_home_TT).sum(axis=1)
        is_away = camids_T != camid
        total += np.where(is_away, 1.0 / ranks, 0.0)
        num_ways += is_away
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(num_ways > 0, total / num_ways, np.nan)


def apart_similarities(heads_TD: FloatArray, tails_TD: FloatArray, tracklets: Tracklets) -> FloatArray:
    """Similarities of tracklets of two people, both ways; of all others of one camera where nobody says which."""
    if not len(tracklets.apart):
        similarity_TT = heads_TD @ tails_TD.T
        return np.asarray(similarity_TT[tracklets.others], dtype=np.float32)
    one, other = tracklets.apart.T
    ways = [np.sum(heads_TD[a] * tails_TD[b], axis=1) for a, b in ((one, other), (other, one))]
    return np.concatenate(ways)


def false_match_rate(within: FloatArray, apart: FloatArray, *, recall: float) -> float:
    """Share of pairs of two people that match at the similarity which `recall` of the pairs of one person reach."""
    return float(np.mean(apart >= np.quantile(within, 1.0 - recall)))


def d_prime(within: FloatArray, apart: FloatArray) -> float:
    """Distance of two sets of similarities in their standard deviations; 0 if there is no spread."""
    spread = float(np.sqrt((within.var() + apart.var()) / 2))
    return float(within.mean() - apart.mean()) / spread if spread > 0 else 0.0


def mean_similarity(means_TD: FloatArray) -> float:
    """Mean similarity of two different tracklets: near 1 when everybody looks alike."""
    total = means_TD.astype(np.float64).sum(axis=0)
    num_tracklets = len(means_TD)
    return float((total @ total - num_tracklets) / (num_tracklets * (num_tracklets - 1)))


def effective_rank(means_TD: FloatArray) -> float:
    """How many directions the embeddings use: the exponential of the entropy of the shares of their variance.

    Paper: Roy & Vetterli, The effective rank, EUSIPCO 2007. Deviation: eigenvalues of the covariance.
    """
    variances = np.linalg.eigvalsh(np.cov(means_TD.astype(np.float64).T))
    variances = variances[variances > variances.max() * 1e-12]
    if not len(variances):
        return 1.0
    shares = variances / variances.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def bootstrap_mean(values: Values, *, confidence: float, num_draws: int, seed: int) -> Bounds:
    """Mean of values and the two-sided interval that holds the true mean, by drawing them again with replacement.

    Args:
        values: One number a tracklet, for example differences; NaN are left out.
        confidence: In (0, 1).
        num_draws: How often they are drawn again.
        seed: Of the draws.

    Raises:
        ValueError: Nothing but NaN.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("no tracklet has a value")
    rng = np.random.default_rng(seed)
    means = [float(values[rng.integers(len(values), size=len(values))].mean()) for _ in range(num_draws)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Bounds(low=float(low), mean=float(values.mean()), high=float(high))


def _standing(values_T: FloatArray | Values, similarity_TT: FloatArray, others_TT: BoolArray) -> Values:
    """How far each value lies above the similarities of its row to the others, in their standard deviations.

    0 where these are all equal; NaN where there are fewer than two.
    """
    exact_TT = similarity_TT.astype(np.float64)
    num_others = others_TT.sum(axis=1)
    weights_TT = others_TT / np.maximum(num_others, 1)[:, None]
    means = (exact_TT * weights_TT).sum(axis=1)
    spreads = np.sqrt(((exact_TT - means[:, None]) ** 2 * weights_TT).sum(axis=1))
    found = np.divide(values_T - means, spreads, out=np.zeros(len(values_T)), where=spreads > _NO_SPREAD)
    return np.where((num_others > 1) & ~np.isnan(values_T), found, np.nan)


def _renumbered(pairs: IntArray, names: IntArray) -> IntArray:
    kept = pairs[np.isin(pairs, names).all(axis=1)]
    return np.searchsorted(names, kept).astype(np.int64).reshape(-1, 2)


def _pooled(embeddings_ND: FloatArray, rows: Sequence[IntArray]) -> FloatArray:
    return normalise(np.stack([embeddings_ND[of_one].mean(axis=0) for of_one in rows]))


def _nearest(similarity_TT: FloatArray, num_neighbours: int) -> IntArray:
    found = np.argpartition(-similarity_TT, num_neighbours - 1, axis=1)[:, :num_neighbours]
    return np.asarray(found, dtype=np.int64)
