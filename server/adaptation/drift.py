"""Whether matching is still what it was after the release came: similarities of tracklets to their persons. Pure.

For each camera, how like its tracklets are to the rest of their persons is counted in a histogram. When the network
no longer fits what the camera shows (light, season, clothes, another angle), similarities fall, and more of them lie
near the threshold, where matching is a guess.

Letters: N tracklets, D embedding, B bins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from reid.types import FloatArray, IntArray
from server.adaptation.settings import DriftSettings
from server.types import Tracklet

_BINS = 200
_EDGES = np.linspace(-1.0, 1.0, _BINS + 1)
_SIGNIFICANT = 1.63
"""Two samples of n and m differ more than this over sqrt(nm / (n + m)) in one of a hundred cases without any reason
(Kolmogorov and Smirnov)."""

Histograms = Mapping[str, Sequence[int]]
"""By camera: how many similarities lie in each of 200 equal parts of [-1, 1]."""


def similarities(tracklets: Iterable[Tracklet]) -> dict[int, list[float]]:
    """How like each tracklet is to the other tracklets of its person, by camera_key.

    Args:
        tracklets: Of one space. Persons of a single tracklet say nothing.
    """
    members: defaultdict[int, list[Tracklet]] = defaultdict(list)
    for tracklet in tracklets:
        members[tracklet.person_id].append(tracklet)
    found: defaultdict[int, list[float]] = defaultdict(list)
    for of_person in members.values():
        if len(of_person) > 1:
            rows_ND = np.stack([tracklet.embedding_sum for tracklet in of_person])
            for tracklet, similarity in zip(of_person, _to_the_rest(rows_ND), strict=True):
                found[tracklet.camera_key].append(float(similarity))
    return dict(found)


def histogram(values: Sequence[float]) -> list[int]:
    """Counts of similarities, as `Histograms` has them."""
    counts, _ = np.histogram(np.clip(values, -1.0, 1.0), bins=_EDGES)
    return [int(count) for count in counts]


def drifts(then: Histograms, now: Histograms, *, threshold: float, settings: DriftSettings) -> list[str]:
    """What changed, a sentence for each camera in which something did.

    Args:
        then: After the release came.
        now: Of late.
        threshold: Cosine from which two tracklets are one person.
        settings: How much is too much.
    """
    told: list[str] = []
    for camera in sorted(then.keys() & now.keys()):
        counts = np.asarray(then[camera]), np.asarray(now[camera])
        if min(count.sum() for count in counts) < settings.least_tracklets:
            continue
        shift, least = shift_of(*counts)
        rise = border_share(counts[1], threshold, settings.border) - border_share(counts[0], threshold, settings.border)
        if settings.similarity_shift and shift >= max(settings.similarity_shift, least):
            told.append(f"camera {camera}: similarities shifted by {shift:.2f}, bound {settings.similarity_shift:g}")
        elif settings.border_rise and rise >= max(settings.border_rise, least):
            told.append(f"camera {camera}: {rise:.0%} more tracklets are near the threshold")
    return told


def shift_of(then_B: IntArray, now_B: IntArray) -> tuple[float, float]:
    """Largest difference of the shares below any similarity, and what chance alone makes of it once in a hundred."""
    num_then, num_now = int(then_B.sum()), int(now_B.sum())
    difference = np.cumsum(then_B) / num_then - np.cumsum(now_B) / num_now
    return float(np.abs(difference).max()), float(_SIGNIFICANT * np.sqrt((num_then + num_now) / (num_then * num_now)))


def border_share(counts_B: IntArray, threshold: float, border: float) -> float:
    """Share of similarities that are as near to the threshold as `border`."""
    middles = (_EDGES[:-1] + _EDGES[1:]) / 2
    return float(counts_B[np.abs(middles - threshold) <= border].sum() / counts_B.sum())


def _to_the_rest(rows_ND: FloatArray) -> FloatArray:
    """(N,) cosine of each row to the sum of all others."""
    rest_ND = rows_ND.sum(axis=0) - rows_ND
    norms = np.linalg.norm(rows_ND, axis=1) * np.linalg.norm(rest_ND, axis=1)
    return np.asarray((rows_ND * rest_ND).sum(axis=1) / np.maximum(norms, 1e-12))
