"""How long people take from camera to camera: learned from those in memory who were surely met again. Pure.

For each ordered pair of cameras, the same camera twice included, two histograms over the time between two tracklets:
of people who are surely one, and of any two people. Their ratio says how much better or worse than looks alone a
meeting is at that time. Pairs of cameras of which little is known say nothing; what is old counts less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import AnyArray, FloatArray, IntArray
from server.matching.tracklets import MaturitySettings, is_young
from server.types import NO_PERSON, Tracklet

_EDGES_S = np.array([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240], dtype=np.float64)
"""Bounds between the bins of a histogram: each twice as far as the one before, as walking times scatter."""
_NUM_BINS = len(_EDGES_S) + 1


class TransitionSettings(Settings):
    """Learning of the times between cameras."""

    half_life_s: float = Field(default=1800.0, gt=0)
    """A meeting this long ago counts half."""
    interval_s: float = Field(default=60.0, gt=0)
    """Time between two learnings."""
    most_tracklets: int = Field(default=0, ge=0)
    """Latest tracklets that are learned from, such as 2048; 0 for no learning. Off: see docs/log.md."""
    prior: float = Field(default=20.0, gt=0)
    """Meetings' worth of belief that the time tells nothing."""
    certainty: float = Field(default=0.25, ge=0, le=1)
    """How far above the threshold a sure meeting is, as a share of 1 - threshold."""
    most_log_odds: float = Field(default=2.0, ge=0)
    """However telling a time is, it moves the odds by no more than this."""


@dataclass(frozen=True)
class Transitions:
    """What was learned.

    Attributes:
        log_odds: By camera_key of the earlier and the later tracklet: float64 (bins,).
    """

    log_odds: dict[tuple[int, int], AnyArray]

    def of(self, from_camera: int, to_camera: int, gap_us: int) -> float:
        """Log-odds that the same person comes after this time, against anybody; 0 while nothing is known."""
        bins = self.log_odds.get((from_camera, to_camera))
        return 0.0 if bins is None else float(bins[np.searchsorted(_EDGES_S, gap_us / 1e6, side="right")])


NOTHING_LEARNED = Transitions({})


def learn_transitions(
    tracklets: Iterable[Tracklet],
    embeddings: Sequence[FloatArray],
    *,
    settings: TransitionSettings,
    maturity: MaturitySettings,
    threshold: float,
) -> Transitions:
    """Learn from tracklets that have persons.

    Args:
        tracklets: N, in any order.
        embeddings: Of each, (D,) unit-norm float32, as they are compared.
        settings: How to learn.
        maturity: Young tracklets teach nothing.
        threshold: Least similarity of one person's tracklets.
    """
    grown = [
        (tracklet, embedding)
        for tracklet, embedding in zip(tracklets, embeddings, strict=True)
        if tracklet.person_id != NO_PERSON and not is_young(tracklet, maturity)
    ]
    if not grown:
        return NOTHING_LEARNED
    grown.sort(key=lambda item: (item[0].start_us, item[0].tracklet_key))
    camera_keys = sorted({tracklet.camera_key for tracklet, _ in grown})
    same, anybody = _count(grown, camera_keys, settings, threshold + settings.certainty * (1.0 - threshold))
    return Transitions(
        {
            (camera_keys[a], camera_keys[b]): _log_odds(same[a, b], anybody[a, b], settings)
            for a, b in np.argwhere(same.sum(axis=2) > 0).tolist()
        }
    )


def _count(
    grown: list[tuple[Tracklet, FloatArray]], camera_keys: list[int], settings: TransitionSettings, sure: float
) -> tuple[AnyArray, AnyArray]:
    """Both histograms, float64 (cameras, cameras, bins): of sure meetings, and of any two people."""
    columns = {camera_key: column for column, camera_key in enumerate(camera_keys)}
    rows = {person_id: row for row, person_id in enumerate(sorted({t.person_id for t, _ in grown}))}
    ends_P = np.full(len(rows), -1, dtype=np.int64)
    cameras_P: IntArray = np.zeros(len(rows), dtype=np.int64)
    latest: dict[int, FloatArray] = {}
    same = np.zeros((len(camera_keys), len(camera_keys), _NUM_BINS))
    anybody = np.zeros_like(same)
    now_us = max(tracklet.end_us for tracklet, _ in grown)
    for tracklet, embedding in grown:
        row, column = rows[tracklet.person_id], columns[tracklet.camera_key]
        weight = 0.5 ** ((now_us - tracklet.start_us) / 1e6 / settings.half_life_s)
        known = np.flatnonzero((ends_P >= 0) & (ends_P <= tracklet.start_us))
        bins = np.searchsorted(_EDGES_S, (tracklet.start_us - ends_P[known]) / 1e6, side="right")
        np.add.at(anybody[:, column], (cameras_P[known], bins), weight / max(1, len(known)))
        is_sure = tracklet.person_id in latest and float(latest[tracklet.person_id] @ embedding) >= sure
        if is_sure and row in known:
            same[cameras_P[row], column, bins[np.searchsorted(known, row)]] += weight
        if tracklet.end_us > ends_P[row]:
            ends_P[row], cameras_P[row], latest[tracklet.person_id] = tracklet.end_us, column, embedding
    return same, anybody


def _log_odds(same: AnyArray, anybody: AnyArray, settings: TransitionSettings) -> AnyArray:
    """Ratio of two histograms, drawn towards 1 where there is little to count."""
    background = (anybody + 1.0 / _NUM_BINS) / (anybody.sum() + 1.0)
    smoothed = (same + settings.prior * background) / (same.sum() + settings.prior)
    most = settings.most_log_odds
    return np.asarray(np.clip(np.log(smoothed / background), -most, most))
