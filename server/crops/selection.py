"""Which crops to ask for: a strategy orders tracklets, cameras get fair shares, the best crops of each are taken. Pure.

No camera gets more than its fair share while another has some left, and of a tracklet at least two crops are asked for
where it has them: one alone does not show what stays the same from moment to moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from reid.types import FloatArray, IntArray
from server.crops.settings import Strategy
from server.crops.strategies import order_tracklets
from server.matching.constraints import overlapping_pairs
from server.types import CropName

_LEAST_CROPS = 2
"""Of one tracklet."""


class CropView(NamedTuple):
    """An observation whose crop can be asked for."""

    spool_key: int
    seq: int
    quality: float
    time_us: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tracklet whose crops can be asked for.

    Attributes:
        tracklet: Its key.
        camera_key: Its camera.
        embedding: (D,) float32 unit norm, in the served space.
        observations: Those whose crops its edge may still have; one at least.
    """

    tracklet: int
    camera_key: int
    embedding: FloatArray
    observations: tuple[CropView, ...]


class WantedCrop(NamedTuple):
    """A crop to ask for."""

    tracklet: int
    spool_key: int
    seq: int
    time_us: int

    @property
    def name(self) -> CropName:
        """What it is called."""
        return CropName(self.spool_key, self.seq)


def select(
    candidates: Sequence[Candidate],
    *,
    strategy: Strategy,
    max_crops: int,
    rng: np.random.Generator,
    crops_per_tracklet: int,
) -> list[WantedCrop]:
    """Choose crops.

    Args:
        candidates: Tracklets.
        strategy: Which of them first; see `server.crops.strategies`.
        max_crops: Most crops, of all cameras together.
        rng: Draws where nothing else decides.
        crops_per_tracklet: Most crops of one tracklet, two at least.

    Returns:
        The most wanted tracklets first, and of each its best crop first.
    """
    if not candidates:
        return []
    most = max(crops_per_tracklet, _LEAST_CROPS)
    available: Counter[int] = Counter()
    for candidate in candidates:
        available[candidate.camera_key] += min(most, len(candidate.observations))
    left = fair_shares(available, max_crops)
    wanted: list[WantedCrop] = []
    for row in order_tracklets(strategy, *_arrays(candidates), rng):
        candidate = candidates[row]
        num_crops = min(most, len(candidate.observations), left[candidate.camera_key])
        if num_crops < min(_LEAST_CROPS, len(candidate.observations)):
            continue
        left[candidate.camera_key] -= num_crops
        views = best_views(candidate.observations, num_crops)
        wanted += [WantedCrop(candidate.tracklet, view.spool_key, view.seq, view.time_us) for view in views]
        if sum(left.values()) == 0:
            break
    return wanted


def select_rows(
    feats_ND: FloatArray,
    tracklets_N: IntArray,
    cameras_N: IntArray,
    times_us_N: IntArray,
    qualities_N: FloatArray,
    *,
    strategy: Strategy,
    max_crops: int,
    seed: int,
    crops_per_tracklet: int,
) -> IntArray:
    """`select` for crops that are all at hand.

    Args:
        feats_ND: Unit-norm float32 embeddings of crops.
        tracklets_N: int64 tracklet of each.
        cameras_N: int64 camera of each.
        times_us_N: int64 moments, comparable within a camera.
        qualities_N: In [0, 1].
        strategy: As in `select`.
        max_crops: As in `select`.
        seed: Of the draws.
        crops_per_tracklet: As in `select`.

    Returns:
        int64 rows of the chosen crops, sorted.
    """
    candidates = []
    order = np.argsort(tracklets_N, kind="stable").tolist()
    for tracklet, members in groupby(order, key=lambda row: int(tracklets_N[row])):
        rows = list(members)
        mean = feats_ND[rows].sum(axis=0)
        views = tuple(CropView(0, row, float(qualities_N[row]), int(times_us_N[row])) for row in rows)
        embedding = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), dtype=np.float32)
        candidates.append(Candidate(tracklet, int(cameras_N[rows[0]]), embedding, views))
    wanted = select(
        candidates,
        strategy=strategy,
        max_crops=max_crops,
        rng=np.random.default_rng(seed),
        crops_per_tracklet=crops_per_tracklet,
    )
    return np.array(sorted(crop.seq for crop in wanted), dtype=np.int64)


def fair_shares(available: Mapping[int, int], total: int) -> dict[int, int]:
    """Share out `total` so that nobody gets more than somebody who would take more, and nobody more than they can use.

    Args:
        available: What each can use.
        total: What there is.
    """
    shares: dict[int, int] = {}
    left = total
    for place, key in enumerate(sorted(available, key=lambda key: (available[key], key))):
        shares[key] = min(available[key], left // (len(available) - place))
        left -= shares[key]
    return shares


def best_views(views: Sequence[CropView], num_crops: int) -> list[CropView]:
    """The best view of each of `num_crops` stretches of the tracklet, the best of all first."""
    in_time = sorted(views, key=lambda view: (view.time_us, view.seq))
    bounds = np.linspace(0, len(in_time), num_crops + 1).astype(int).tolist()
    stretches = [in_time[start:end] for start, end in pairwise(bounds)]
    best = [max(stretch, key=lambda view: view.quality) for stretch in stretches]
    return sorted(best, key=lambda view: -view.quality)


def _arrays(candidates: Sequence[Candidate]) -> tuple[FloatArray, IntArray, IntArray]:
    """Embeddings (N, D), cameras (N,), and pairs (P, 2) that were in one camera at one moment."""
    cameras = np.array([candidate.camera_key for candidate in candidates], dtype=np.int64)
    times = [[view.time_us for view in candidate.observations] for candidate in candidates]
    starts = np.array([min(moments) for moments in times], dtype=np.int64)
    ends = np.array([max(moments) for moments in times], dtype=np.int64)
    apart = np.array(list(overlapping_pairs(cameras, starts, ends)), dtype=np.int64).reshape(-1, 2)
    return np.stack([candidate.embedding for candidate in candidates]), cameras, apart
