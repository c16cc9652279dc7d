"""The similarity from which on two samples are taken for one person, at a fixed share of false matches.

The server compares means: of the few crops of a tracklet with the prototype of a person. Means lie nearer to each
other than single crops do, those of one person and those of two, so a threshold found on single crops is too low for
them. The threshold of a release is therefore found on tracklets pooled as the server pools them; the one for single
crops is found beside it, for search by photo.

A pair of one person counts only across cameras, as in `reid.metrics`; a pair of two persons counts anywhere.
Shape letters: N samples, T tracklets, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid.embedding import normalise
from reid.metrics import Labels, MatchThreshold, threshold_at_false_match_rate
from reid.release import Thresholds
from reid.types import BoolArray, FloatArray
from train.datasets.samples import DISTRACTOR_PID, ReidSample, camids_of, pids_of, tracklets_of
from train.errors import DatasetError

FALSE_MATCH_RATE = 1e-3
"""Share of pairs of two persons that may match."""
UNCALIBRATED = Thresholds(match=0.60, how="default, not calibrated on any data")
"""For releases of which nothing better is known."""
MOST_CROPS_POOLED = 8
"""Crops of a tracklet that enter its mean; an edge sends about this many of one passage."""
_MOST_SAMPLES = 4000
"""Single crops compared with one another: 8 million pairs, plenty for a rate of 1e-3."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds of one release at one false-match rate."""

    tracklets: MatchThreshold
    """Between means of tracklets: what the server uses."""
    crops: MatchThreshold
    """Between single crops."""
    num_tracklets: int
    num_pids: int


def calibrate(
    embeddings_ND: FloatArray, samples: Sequence[ReidSample], *, rate: float = FALSE_MATCH_RATE
) -> Calibration:
    """Find the thresholds at a false-match rate.

    Args:
        embeddings_ND: (N, D) float32, unit norm, of crops that the network was **not** trained on: on its own training
            identities it separates people better than it will on anybody else.
        samples: Their N labels; junk and distractors are left out.
        rate: Largest share of pairs of two persons that match.

    Raises:
        DatasetError: There are too few identities, cameras or pairs to find it.
    """
    rows = [row for row, sample in enumerate(samples) if sample.pid > DISTRACTOR_PID]
    kept = [samples[row] for row in rows]
    embeddings_ND = embeddings_ND[rows]
    pooled_TD, who = pool_tracklets(embeddings_ND, kept)
    step = max(1, len(kept) // _MOST_SAMPLES)
    singles = Labels(pids_of(kept)[::step], camids_of(kept)[::step])
    try:
        return Calibration(
            tracklets=_threshold(pooled_TD, who, rate),
            crops=_threshold(embeddings_ND[::step], singles, rate),
            num_tracklets=len(pooled_TD),
            num_pids=len(np.unique(who.pids)),
        )
    except ValueError as error:
        raise DatasetError(f"{len(kept)} crops of {len(set(who.pids.tolist()))} identities: {error}") from None


def pool_tracklets(embeddings_ND: FloatArray, samples: Sequence[ReidSample]) -> tuple[FloatArray, Labels]:
    """Average each tracklet as the server does, with equal weights, over crops spread evenly along it.

    Returns:
        (T, D) float32, unit norm, and the labels of the tracklets.
    """
    tracklets = tracklets_of(samples)
    means = [embeddings_ND[_spread(rows)].mean(axis=0) for rows in tracklets]
    firsts = [samples[rows[0]] for rows in tracklets]
    return normalise(np.stack(means)), Labels(pids_of(firsts), camids_of(firsts))


def pair_similarities(embeddings_ND: FloatArray, who: Labels) -> tuple[FloatArray, FloatArray]:
    """Similarities of all pairs of one person across cameras, and of all pairs of two persons; each pair once."""
    upper: BoolArray = np.triu(np.ones((len(embeddings_ND), len(embeddings_ND)), dtype=np.bool_), k=1)
    same_pid = who.pids[:, None] == who.pids[None, :]
    same_camid = who.camids[:, None] == who.camids[None, :]
    similarity_NN = embeddings_ND @ embeddings_ND.T
    return similarity_NN[upper & same_pid & ~same_camid], similarity_NN[upper & ~same_pid]


def _spread(rows: Sequence[int]) -> list[int]:
    if len(rows) <= MOST_CROPS_POOLED:
        return list(rows)
    return [rows[place] for place in np.linspace(0, len(rows) - 1, MOST_CROPS_POOLED).round().astype(int)]


def _threshold(embeddings_ND: FloatArray, who: Labels, rate: float) -> MatchThreshold:
    return threshold_at_false_match_rate(*pair_similarities(embeddings_ND, who), rate=rate)
