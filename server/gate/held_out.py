"""The held-out crops of a snapshot, as many as the gate looks at, decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid.preprocess import read_image, resize_crop
from reid.snapshot import Snapshot, SnapshotCrop
from reid.types import IntArray, UInt8Array
from server.gate.measures import Tracklets, make_tracklets
from server.gate.settings import GateSettings


@dataclass(frozen=True)
class HeldOut:
    """Crops that no training has seen.

    Attributes:
        crops: uint8 (N, 256, 128, 3) BGR.
        tracklets: What is known of them.
    """

    crops: UInt8Array
    tracklets: Tracklets


def read_held_out(snapshot: Snapshot, settings: GateSettings) -> HeldOut:
    """Draw tracklets of the held-out part and read their crops.

    Args:
        snapshot: It; tracklets with a single held-out crop are passed over.
        settings: How many, and the seed.

    Raises:
        ImageError: A crop cannot be decoded.
    """
    by_tracklet: defaultdict[int, list[SnapshotCrop]] = defaultdict(list)
    for crop in snapshot.of_part("held_out"):
        by_tracklet[crop.tracklet].append(crop)
    spread = [
        _spread(sorted(crops, key=lambda crop: crop.time_us), settings.max_crops_per_tracklet)
        for crops in by_tracklet.values()
        if len(crops) > 1
    ]
    chosen = [crop for crops in draw_evenly(spread, settings.max_crops, seed=settings.seed) for crop in crops]
    pictures = [resize_crop(read_image(snapshot.folder / crop.path)) for crop in chosen]
    tracklets = make_tracklets(
        _numbers([crop.tracklet for crop in chosen]),
        _numbers([crop.camid for crop in chosen]),
        _numbers([crop.time_us for crop in chosen]),
        snapshot.apart,
        snapshot.together,
    )
    crops = np.stack(pictures) if pictures else np.empty((0, 256, 128, 3), dtype=np.uint8)
    return HeldOut(crops=crops, tracklets=tracklets)


def draw_evenly(tracklets: Sequence[list[SnapshotCrop]], max_crops: int, *, seed: int) -> list[list[SnapshotCrop]]:
    """Draw tracklets one camera after the other, until none is left or the next would pass `max_crops`."""
    rng = np.random.default_rng(seed)
    by_camera: defaultdict[int, list[list[SnapshotCrop]]] = defaultdict(list)
    for place in rng.permutation(len(tracklets)):
        by_camera[tracklets[place][0].camid].append(tracklets[place])
    turns = sorted(
        ((turn, camid) for camid, waiting in by_camera.items() for turn in range(len(waiting))),
    )
    chosen: list[list[SnapshotCrop]] = []
    num_crops = 0
    for turn, camid in turns:
        crops = by_camera[camid][turn]
        if num_crops + len(crops) > max_crops:
            break
        chosen.append(crops)
        num_crops += len(crops)
    return chosen


def _spread(crops: list[SnapshotCrop], num_crops: int) -> list[SnapshotCrop]:
    if len(crops) <= num_crops:
        return crops
    return [crops[place] for place in np.linspace(0, len(crops) - 1, num_crops).round().astype(int)]


def _numbers(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
