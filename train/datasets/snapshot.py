"""A snapshot that a server made of its site (`reid.snapshot`): crops without labels, in tracklets.

    all        the training part; what is held out serves calibration alone

Nobody is known by name, so every sample is unlabelled. The number of its tracklet takes the place of the recording, and
its time in milliseconds that of the frame.
"""

from __future__ import annotations

from pathlib import Path

from reid.snapshot import Part, Snapshot, read_snapshot
from train.datasets.samples import UNLABELLED_PID, ReidSample, Split
from train.errors import DatasetError


def read_all(root: Path) -> Split:
    """Adapt on the training part.

    Raises:
        SnapshotError: The snapshot is damaged.
        DatasetError: It has nothing to train on.
    """
    samples = samples_of(read_snapshot(root), "train")
    if not samples:
        raise DatasetError(f"snapshot {root} has no crop to train on: ask the edges for more crops")
    return Split(train=samples, query=(), gallery=())


def samples_of(snapshot: Snapshot, part: Part) -> tuple[ReidSample, ...]:
    """The crops of one part as samples, in order."""
    return tuple(
        ReidSample(
            path=snapshot.folder / crop.path,
            pid=UNLABELLED_PID,
            camid=crop.camid,
            sequence=crop.tracklet,
            frame=crop.time_us // 1000,
        )
        for crop in snapshot.of_part(part)
    )
