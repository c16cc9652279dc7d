"""A snapshot: crops of a site that a server gathered and a training reads. The one place that knows its files.

A folder holds `snapshot.json`, `crops.csv` (one line per crop, below a header) and the crops themselves, JPEG of
128 x 256 pixels, under `crops/`. It is whole once `snapshot.json` is there. Cameras are numbered from 1, tracklets from
0. No tracklet and, within a camera, no moment is in both parts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np

from reid.errors import SnapshotError
from reid.files import write_atomic, write_json_atomic
from reid.types import IntArray

SNAPSHOT_FILE = "snapshot.json"
CROPS_FILE = "crops.csv"
CROPS_FOLDER = "crops"
_FORMAT = 1
_COLUMNS = ("path", "camid", "tracklet", "time_us", "quality", "part")

Part = Literal["train", "held_out"]
"""What a crop is for: to train on, or to judge with what was trained."""


@dataclass(frozen=True)
class SnapshotCrop:
    """One crop.

    Attributes:
        path: JPEG file, relative to the snapshot's folder.
        camid: Number of the camera, from 1: its place in `Snapshot.cameras`, plus one.
        tracklet: Number of the tracklet, from 0.
        time_us: When it was seen, microseconds since the Unix epoch.
        quality: In [0, 1].
        part: Whether it may be trained on.
    """

    path: str
    camid: int
    tracklet: int
    time_us: int
    quality: float
    part: Part


@dataclass(frozen=True)
class Snapshot:
    """Crops of a site, and what the site knows of them beside who they show.

    Attributes:
        folder: Where its files lie.
        parent: Space of the release that the site runs, which a training starts from.
        made_us: When it was made, microseconds since the Unix epoch.
        cameras: (edge_id, camid) of each camera, in order of their numbers.
        crops: In order of tracklet and time.
        apart: (P, 2) int64 pairs of tracklets that show two people: seen in one camera at one moment, or an operator's
            word.
        together: (P, 2) int64 pairs of tracklets that show one person: an operator's word.
        provenance: How it was made.
    """

    folder: Path
    parent: str
    made_us: int
    cameras: tuple[tuple[str, str], ...]
    crops: tuple[SnapshotCrop, ...]
    apart: IntArray
    together: IntArray
    provenance: Mapping[str, str] = field(default_factory=dict)

    def of_part(self, part: Part) -> tuple[SnapshotCrop, ...]:
        """The crops of one part, in order."""
        return tuple(crop for crop in self.crops if crop.part == part)


def write_snapshot(snapshot: Snapshot) -> None:
    """Write the two files that make a folder of crops a snapshot; in the place of older ones, if there are any.

    Args:
        snapshot: Its JPEGs lie in its folder already.

    Raises:
        SnapshotError: A crop is missing or a number out of range, or the disk is full; there is then no snapshot, or
            the older one.
    """
    _check(snapshot)
    table = _to_csv(snapshot.crops)
    content = {
        "format": _FORMAT,
        "parent": snapshot.parent,
        "made_us": snapshot.made_us,
        "cameras": [list(camera) for camera in snapshot.cameras],
        "apart": snapshot.apart.tolist(),
        "together": snapshot.together.tolist(),
        "provenance": dict(snapshot.provenance),
        "sha256": hashlib.sha256(table).hexdigest(),
    }
    try:
        write_atomic(snapshot.folder / CROPS_FILE, table)
        write_json_atomic(snapshot.folder / SNAPSHOT_FILE, content)
    except OSError as error:
        raise SnapshotError(f"snapshot {snapshot.folder} cannot be written: {error.strerror}") from None


def read_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot and check that it is whole; the JPEGs are only looked for, not opened.

    Raises:
        SnapshotError: A file is missing or damaged, or it is of another format.
    """
    content = _read_json(folder)
    table = _read_bytes(folder / CROPS_FILE)
    try:
        if content["format"] != _FORMAT:
            raise SnapshotError(f"snapshot {folder} has format {content['format']!r}, this version reads {_FORMAT}")
        if content["sha256"] != hashlib.sha256(table).hexdigest():
            raise SnapshotError(f"snapshot {folder}: {CROPS_FILE} is not what {SNAPSHOT_FILE} says: copy it again")
        snapshot = Snapshot(
            folder=folder,
            parent=str(content["parent"]),
            made_us=int(content["made_us"]),
            cameras=tuple((str(edge_id), str(camid)) for edge_id, camid in content["cameras"]),
            crops=_from_csv(table),
            apart=_pairs(content["apart"]),
            together=_pairs(content["together"]),
            provenance={str(key): str(value) for key, value in content["provenance"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(f"snapshot {folder} is damaged: {type(error).__name__} {error}") from None
    _check(snapshot)
    return snapshot


def remove_crops(folder: Path, is_unwanted: Callable[[SnapshotCrop], bool]) -> int:
    """Take crops out of a snapshot for good: first out of its lists, then the files.

    A tracklet that loses all of its crops leaves the pairs too. Safe to repeat after it was cut off.

    Returns:
        How many were taken out.

    Raises:
        SnapshotError: The snapshot cannot be read or written.
    """
    snapshot = read_snapshot(folder)
    removed = [crop for crop in snapshot.crops if is_unwanted(crop)]
    if not removed:
        return 0
    kept = tuple(crop for crop in snapshot.crops if not is_unwanted(crop))
    left = {crop.tracklet for crop in kept}
    write_snapshot(
        replace(
            snapshot,
            crops=kept,
            apart=_pairs_of(left, snapshot.apart),
            together=_pairs_of(left, snapshot.together),
        )
    )
    for crop in removed:
        (folder / crop.path).unlink(missing_ok=True)
    return len(removed)


def _check(snapshot: Snapshot) -> None:
    """Complain about numbers that name nothing, paths that lead elsewhere, and files that are missing."""
    num_cameras, where = len(snapshot.cameras), f"snapshot {snapshot.folder}"
    for crop in snapshot.crops:
        if not 1 <= crop.camid <= num_cameras:
            raise SnapshotError(f"{where}: {crop.path} has camera {crop.camid}, wanted 1 to {num_cameras}")
        if crop.tracklet < 0 or not 0.0 <= crop.quality <= 1.0:
            raise SnapshotError(f"{where}: {crop.path} has tracklet {crop.tracklet} and quality {crop.quality}")
        path = PurePosixPath(crop.path)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] != (CROPS_FOLDER,):
            raise SnapshotError(f"{where}: {crop.path!r} leads out of its folder {CROPS_FOLDER}/")
        if not (snapshot.folder / path).is_file():
            raise SnapshotError(f"{where}: {crop.path} is missing")
    tracklets = {crop.tracklet for crop in snapshot.crops}
    unknown = set(np.concatenate([snapshot.apart.ravel(), snapshot.together.ravel()]).tolist()) - tracklets
    if unknown:
        raise SnapshotError(f"{where}: a pair names tracklet {min(unknown)}, of which there is no crop")


def _to_csv(crops: Iterable[SnapshotCrop]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        (crop.path, crop.camid, crop.tracklet, crop.time_us, f"{crop.quality:.6g}", crop.part) for crop in crops
    )
    return text.getvalue().encode()


def _from_csv(table: bytes) -> tuple[SnapshotCrop, ...]:
    rows = csv.reader(io.StringIO(table.decode()))
    header = next(rows, [])
    if tuple(header) != _COLUMNS:
        raise ValueError(f"{CROPS_FILE} has columns {','.join(header)!r}, wanted {','.join(_COLUMNS)!r}")
    return tuple(_to_crop(row) for row in rows)


def _to_crop(row: Sequence[str]) -> SnapshotCrop:
    path, camid, tracklet, time_us, quality, part = row
    if part not in get_args(Part):
        raise ValueError(f"{path} is of part {part!r}, wanted one of {', '.join(get_args(Part))}")
    known: Part = "train" if part == "train" else "held_out"
    return SnapshotCrop(path, int(camid), int(tracklet), int(time_us), float(quality), known)


def _pairs(content: Any) -> IntArray:
    pairs = np.asarray(content, dtype=np.int64).reshape(-1, 2)
    if len(pairs) != len(content):
        raise ValueError(f"{len(content)} pairs of tracklets hold {pairs.size} numbers")
    return pairs


def _pairs_of(tracklets: Collection[int], pairs: IntArray) -> IntArray:
    """Those pairs whose both ends are among the tracklets."""
    return pairs[np.isin(pairs, list(tracklets)).all(axis=1)]


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_bytes(folder / SNAPSHOT_FILE))
    except ValueError as error:
        raise SnapshotError(f"snapshot {folder}: {SNAPSHOT_FILE} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise SnapshotError(f"snapshot {folder}: {SNAPSHOT_FILE} holds no object")
    return content


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"snapshot {path.parent}: {path.name} cannot be read: {error.strerror}") from None
