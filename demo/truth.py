"""Compares what the server stored with what happened on the simulated site.

A stored sighting is matched to the true box that it overlaps most; a tracklet's pid is that of most of its sightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reid.identity_metrics import NOBODY, PairScores, cross_camera_pairs, idf1, majority
from reid.types import Box
from simulation.site import SimulatedPerson, SimulatedSite

_LEAST_IOU = 0.5
_PLAINLY_VISIBLE = 0.5
_SECONDS_TO_COUNT = 1.0


class StoredSighting(NamedTuple):
    """One stored observation: when and where."""

    time_us: int
    box: Box


class StoredTracklet(NamedTuple):
    """One stored tracklet and the person whom the server took it for."""

    camid: str
    person_id: int
    sightings: tuple[StoredSighting, ...]


@dataclass(frozen=True)
class IdentityScores:
    """How well the server told people apart.

    Attributes:
        num_people: People who could be seen for a second or more.
        num_persons: Identities that the server made.
        num_tracklets: Tracklets that it stored.
        pairs: Pairs of tracklets of different cameras.
        idf1: Over the stored sightings; people who were never sent do not count.
    """

    num_people: int
    num_persons: int
    num_tracklets: int
    pairs: PairScores
    idf1: float


class Span(NamedTuple):
    """A span of the site's time, seconds since its first frame, the end left out."""

    start_s: float
    end_s: float


def score(site: SimulatedSite, tracklets: Sequence[StoredTracklet], *, start_us: int, within: Span) -> IdentityScores:
    """Compare stored tracklets with the truth.

    Args:
        site: What happened.
        tracklets: What the server stored.
        start_us: Time of the first frame, microseconds since the Unix epoch.
        within: Only tracklets that begin within it count.
    """
    tracklets = [
        tracklet
        for tracklet in tracklets
        if within.start_s <= (min(seen.time_us for seen in tracklet.sightings) - start_us) / 1e6 < within.end_s
    ]
    pids = [_pids(site, tracklet, start_us) for tracklet in tracklets]
    person_ids = np.array([tracklet.person_id for tracklet in tracklets], dtype=np.int64)
    cameras = np.array([site.camids.index(tracklet.camid) for tracklet in tracklets], dtype=np.int64)
    pairs = cross_camera_pairs(
        np.array([majority(np.array(labels, dtype=np.int64)) for labels in pids], dtype=np.int64), person_ids, cameras
    )
    lengths = [len(labels) for labels in pids]
    flat_pids = np.array([pid for labels in pids for pid in labels], dtype=np.int64)
    return IdentityScores(
        num_people=len(_seen_people(site, within)),
        num_persons=len(set(person_ids.tolist())),
        num_tracklets=len(tracklets),
        pairs=pairs,
        idf1=idf1(flat_pids, np.repeat(person_ids, lengths)),
    )


def pid_of(box: Box, people: Sequence[SimulatedPerson]) -> int:
    """The person whose true box overlaps a box most, or -1 if none overlaps it well."""
    best = max(people, key=lambda person: person.box.iou(box), default=None)
    return best.pid if best is not None and best.box.iou(box) >= _LEAST_IOU else NOBODY


def _pids(site: SimulatedSite, tracklet: StoredTracklet, start_us: int) -> list[int]:
    return [
        pid_of(sighting.box, site.people_in(tracklet.camid, _index(site, sighting.time_us - start_us)))
        for sighting in tracklet.sightings
    ]


def _index(site: SimulatedSite, since_start_us: int) -> int:
    return min(max(round(since_start_us * site.config.fps_hz / 1e6), 0), site.num_frames - 1)


def _seen_people(site: SimulatedSite, within: Span) -> set[int]:
    """People who were plainly visible for a second or more, in any camera."""
    step = max(1, round(site.config.fps_hz / 4))
    first, end = (min(round(moment_s * site.config.fps_hz), site.num_frames) for moment_s in within)
    counts = np.zeros(site.config.num_people + 1, dtype=np.int64)
    for camid in site.camids:
        for index in range(first, end, step):
            for person in site.people_in(camid, index):
                counts[person.pid] += person.visible_fraction >= _PLAINLY_VISIBLE
    return set(np.flatnonzero(counts * step / site.config.fps_hz >= _SECONDS_TO_COUNT).tolist())
