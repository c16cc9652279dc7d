"""Crops of a site without labels, with what a site knows beside them: cameras, tracklets, who cannot be who and who is.

An edge always has its tracklets: crops that its tracker followed from frame to frame show one person, and two tracklets
that share a moment in one camera show two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from reid.snapshot import Snapshot
from reid.types import IntArray, UInt8Array
from train.crop_cache import CachedCrops
from train.datasets.samples import ReidSample, are_labelled, camids_of, pids_of, tracklets_of

MAX_GAP_FRAMES = 100
"""Crops of one person in one recording that lie farther apart (4 s at 25 frames/s) are not taken for one tracklet: a
tracker may have lost the person in between."""

NO_PAIRS: IntArray = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class SiteCrops:
    """Unlabelled crops of a site, with what a site knows about them.

    Attributes:
        crops: uint8 (N, 256, 128, 3) BGR.
        camids: (N,) int64.
        tracklets: (N,) int64 in [0, T), the tracklet of each crop.
        apart: (P, 2) int64 pairs of tracklets that show two people.
        pids: (N,) int64 where identities are known, for reporting only; or None.
        together: (P, 2) int64 pairs of tracklets that show one person, by an operator's word.
    """

    crops: UInt8Array
    camids: IntArray
    tracklets: IntArray
    apart: IntArray
    pids: IntArray | None = None
    together: IntArray = field(default_factory=NO_PAIRS.copy)

    @property
    def num_tracklets(self) -> int:
        """T."""
        return int(self.tracklets.max()) + 1


def site_of(cached: CachedCrops, *, max_gap_frames: int = MAX_GAP_FRAMES) -> SiteCrops:
    """Crops of a data set as those of a site: who is on them is kept apart, for reporting.

    Args:
        cached: Crops with their samples.
        max_gap_frames: Largest distance of two neighbouring crops of one tracklet.
    """
    samples = cached.samples
    parts = [part for rows in tracklets_of(samples) for part in _split_at_gaps(samples, rows, max_gap_frames)]
    tracklets = np.empty(len(samples), dtype=np.int64)
    for number, rows in enumerate(parts):
        tracklets[rows] = number
    return SiteCrops(
        crops=cached.crops,
        camids=camids_of(samples),
        tracklets=tracklets,
        apart=_overlapping(samples, parts),
        pids=pids_of(samples) if are_labelled(samples) else None,
    )


def site_of_snapshot(cached: CachedCrops, snapshot: Snapshot) -> SiteCrops:
    """Crops of one part of a snapshot with what its server knew of them.

    Args:
        cached: Crops with their samples (`train.datasets.snapshot`).
        snapshot: They are of it; pairs that name a tracklet without a crop here are left out.
    """
    known, tracklets = np.unique([sample.sequence for sample in cached.samples], return_inverse=True)
    return SiteCrops(
        crops=cached.crops,
        camids=camids_of(cached.samples),
        tracklets=tracklets.astype(np.int64),
        apart=_renumbered(snapshot.apart, known),
        together=_renumbered(snapshot.together, known),
    )


def _renumbered(pairs: IntArray, known: IntArray) -> IntArray:
    """Pairs by the places of their tracklets among the known ones."""
    kept = pairs[np.isin(pairs, known).all(axis=1)]
    return np.searchsorted(known, kept).astype(np.int64).reshape(-1, 2)


def _split_at_gaps(samples: Sequence[ReidSample], rows: Sequence[int], max_gap: int) -> Iterable[list[int]]:
    """Cut a tracklet, in order of frames, where two neighbours are too far apart."""
    part = [rows[0]]
    for before, row in pairwise(rows):
        if samples[row].frame - samples[before].frame > max_gap:
            yield part
            part = []
        part.append(row)
    yield part


def _overlapping(samples: Sequence[ReidSample], parts: Sequence[Sequence[int]]) -> IntArray:
    """Pairs of tracklets that share a moment of one recording of one camera."""
    spans: defaultdict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for number, rows in enumerate(parts):
        first, last = samples[rows[0]], samples[rows[-1]]
        spans[first.camid, first.sequence].append((first.frame, last.frame, number))
    pairs = [pair for of_one_recording in spans.values() for pair in _overlapping_spans(sorted(of_one_recording))]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _overlapping_spans(spans: Sequence[tuple[int, int, int]]) -> Iterable[tuple[int, int]]:
    """Numbers of the spans that overlap, each pair once; spans are in order of their start."""
    open_spans: list[tuple[int, int]] = []
    for start, end, number in spans:
        open_spans = [(other_end, other) for other_end, other in open_spans if other_end >= start]
        yield from ((other, number) for _, other in open_spans)
        open_spans.append((end, number))
