"""A snapshot on disk of made-up people, each seen by two cameras, partly held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from fakes_dataset import NUM_CAMERAS, person_crop

from reid.snapshot import Part, Snapshot, SnapshotCrop, write_snapshot

START_US = 1_700_000_000_000_000
Pairs = Sequence[tuple[int, int]]


def write_site(
    folder: Path,
    *,
    num_pids: int,
    num_held_out: int = 0,
    num_crops: int = 2,
    apart: Pairs = (),
    together: Pairs = (),
) -> Snapshot:
    """One tracklet for each person and camera: tracklet 2 p is person p in camera 1, 2 p + 1 the one in camera 2."""
    (folder / "crops").mkdir(parents=True)
    rng = np.random.default_rng(1)
    crops = []
    for tracklet in range(num_pids * NUM_CAMERAS):
        person, camera = divmod(tracklet, NUM_CAMERAS)
        part: Part = "train" if person < num_pids - num_held_out else "held_out"
        for number in range(num_crops):
            name = f"crops/{tracklet:03d}_{number}.jpg"
            cv2.imwrite(str(folder / name), person_crop(person + 1, rng))
            time_us = START_US + tracklet * 1_000_000 + number * 100_000
            crops.append(SnapshotCrop(name, camera + 1, tracklet, time_us, 0.9, part))
    snapshot = Snapshot(
        folder=folder,
        parent="campus-0.1.0-0",
        made_us=START_US,
        cameras=tuple((f"e{number}", "c1") for number in range(NUM_CAMERAS)),
        crops=tuple(crops),
        apart=np.array(apart, dtype=np.int64).reshape(-1, 2),
        together=np.array(together, dtype=np.int64).reshape(-1, 2),
        provenance={"strategy": "boundary"},
    )
    write_snapshot(snapshot)
    return snapshot
