"""Makes snapshots (`reid.snapshot`) of the crops at hand, and takes out of them whoever was erased since.

A crop's file is named after its tracklet and its observation, so that it can be taken out without anything else, and
the records say who is still there. Of each camera the latest tracklets are held out: training never sees a moment that
judges it.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import structlog
from sqlalchemy import Engine, select

from reid.errors import SnapshotError
from reid.files import write_folder_atomic
from reid.snapshot import CROPS_FOLDER, Part, Snapshot, SnapshotCrop, remove_crops, write_snapshot
from reid.types import IntArray
from server.crops.store import CropStore
from server.matching.constraints import constrained_parts, overlapping_pairs
from server.storage.database import explained
from server.storage.records import Link
from server.storage.rows import pages
from server.storage.schema import cameras, crops, observations, tracklets
from server.types import CropName

logger = structlog.get_logger(__name__)

_LEAST_HELD_OUT = 2
"""Crops of a tracklet that is held out: one asks, another must be found."""


class CropRow(NamedTuple):
    """A crop at hand, with its tracklet's camera and span."""

    name: CropName
    tracklet: int
    camera: tuple[str, str]
    time_us: int
    quality: float
    start_us: int
    end_us: int

    @property
    def path(self) -> str:
        """Where it lies in a snapshot."""
        return f"{CROPS_FOLDER}/{self.tracklet}-{self.name.spool_key}-{self.name.seq}.jpg"


def make_snapshot(
    engine: Engine,
    store: CropStore,
    wanted: Mapping[int, Collection[CropName]],
    folder: Path,
    *,
    parent: str,
    links: Sequence[Link],
    held_out_share: float,
    made_us: int,
    provenance: Mapping[str, str],
) -> Snapshot:
    """Make a snapshot of those crops that are here; an older one in its place goes.

    Args:
        engine: Of the records.
        store: Has the crops.
        wanted: Names of crops by the key of their tracklet.
        folder: Where it appears, whole or not at all.
        parent: Space of the release that is served.
        links: What operators said, oldest first.
        held_out_share: Share of each camera's tracklets, the latest, that is kept for judging.
        made_us: Now, microseconds since the Unix epoch.
        provenance: How it came about.

    Raises:
        SnapshotError: No crop is here, or the disk is full.
        StorageError: The records cannot be read.
    """
    clear_unfinished(folder)
    rows = _read_rows(engine, wanted)
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with write_folder_atomic(folder, replace=True) as temporary:
            rows = _link_files(rows, store, temporary)
            snapshot = compose(
                rows,
                temporary,
                parent=parent,
                links=links,
                held_out_share=held_out_share,
                made_us=made_us,
                provenance=provenance,
            )
            for path in {row.path for row in rows} - {crop.path for crop in snapshot.crops}:
                (temporary / path).unlink()
            write_snapshot(snapshot)
    except OSError as error:
        raise SnapshotError(f"snapshot {folder} cannot be made: {error.strerror or error}") from None
    drop_deleted(engine, folder)  # whoever was erased while it was made
    return snapshot


def compose(
    rows: Sequence[CropRow],
    folder: Path,
    *,
    parent: str,
    links: Sequence[Link],
    held_out_share: float,
    made_us: int,
    provenance: Mapping[str, str],
) -> Snapshot:
    """A snapshot of crops, numbered and split. Pure.

    Raises:
        SnapshotError: There is nothing to train on.
    """
    parts = split_parts(rows, held_out_share)
    kept = sorted((row for row in rows if row.name in parts), key=lambda row: (row.tracklet, row.time_us, row.name))
    if "train" not in parts.values():
        raise SnapshotError(f"{len(rows)} crops are here, none to train on: let the edges send more first")
    first_rows = {row.tracklet: row for row in reversed(kept)}
    tracklet_keys = sorted(first_rows)
    tracklet_of = {key: number for number, key in enumerate(tracklet_keys)}
    names = sorted({row.camera for row in kept})
    camid_of = {camera: number for number, camera in enumerate(names, start=1)}
    spans = [first_rows[key] for key in tracklet_keys]
    apart, together = _pairs(spans, links)
    return Snapshot(
        folder=folder,
        parent=parent,
        made_us=made_us,
        cameras=tuple(names),
        crops=tuple(
            SnapshotCrop(
                row.path, camid_of[row.camera], tracklet_of[row.tracklet], row.time_us, row.quality, parts[row.name]
            )
            for row in kept
        ),
        apart=apart,
        together=together,
        provenance=provenance,
    )


def split_parts(rows: Iterable[CropRow], held_out_share: float) -> dict[CropName, Part]:
    """What each crop is for. Pure.

    In each camera, tracklets that began at or after some moment are held out, if they have two crops at least; crops
    before it are trained on, those of tracklets that were under way included. What fits neither is left out.
    """
    by_camera: defaultdict[tuple[str, str], defaultdict[int, list[CropRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_camera[row.camera][row.tracklet].append(row)
    parts: dict[CropName, Part] = {}
    for of_tracklets in by_camera.values():
        starts = sorted(_start_us(group) for group in of_tracklets.values() if len(group) >= _LEAST_HELD_OUT)
        num_held_out = max(1, round(held_out_share * len(starts)))
        from_us = starts[-num_held_out] if num_held_out < len(starts) else None
        for group in of_tracklets.values():
            if from_us is not None and _start_us(group) >= from_us:
                held_out = group if len(group) >= _LEAST_HELD_OUT else []
                parts.update({row.name: "held_out" for row in held_out})
            else:
                parts.update({row.name: "train" for row in group if from_us is None or row.time_us < from_us})
    return parts


def clear_unfinished(folder: Path) -> None:
    """Remove what a crash left of a snapshot that was being made."""
    for unfinished in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def drop_deleted(engine: Engine, folder: Path) -> int:
    """Take the crops of tracklets that the records have no more out of a snapshot; safe to repeat.

    Of a damaged snapshot the files go all the same.

    Returns:
        How many crops went.

    Raises:
        StorageError: The records cannot be read.
    """
    files = {path.name: _tracklet_of(path.name) for path in (folder / CROPS_FOLDER).glob("*.jpg")}
    gone = set(files.values()) - _living(engine, set(files.values()))
    if not gone:
        return 0
    try:
        num_gone = remove_crops(folder, lambda crop: _tracklet_of(PurePosixPath(crop.path).name) in gone)
    except SnapshotError as error:
        logger.error("a snapshot is damaged, crops of deleted tracklets leave it", error=str(error))
        num_gone = 0
    for name, tracklet in files.items():
        if tracklet in gone:
            (folder / CROPS_FOLDER / name).unlink(missing_ok=True)
    logger.info("crops of deleted tracklets left a snapshot", folder=str(folder), crops=num_gone)
    return num_gone


def crop_name_of(path: str) -> CropName:
    """Name of the crop that a file of a snapshot is; see `CropRow.path`.

    Raises:
        SnapshotError: It is named otherwise.
    """
    words = PurePosixPath(path).stem.split("-")
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        raise SnapshotError(f"{path} names no crop of a server: wanted TRACKLET-SPOOL-SEQ.jpg")
    return CropName(int(words[1]), int(words[2]))


def _tracklet_of(name: str) -> int:
    """Key of the tracklet that a file is named after; -1, which no tracklet has, for another name."""
    key = name.partition("-")[0]
    return int(key) if key.isdecimal() else -1


@explained
def _living(engine: Engine, tracklet_keys: Collection[int]) -> set[int]:
    living: set[int] = set()
    with engine.connect() as connection:
        for page in pages(sorted(tracklet_keys)):
            query = select(tracklets.c.tracklet_key).where(tracklets.c.tracklet_key.in_(page))
            living.update(connection.scalars(query))
    return living


@explained
def _read_rows(engine: Engine, wanted: Mapping[int, Collection[CropName]]) -> list[CropRow]:
    """The wanted crops that have a row."""
    columns = (
        *(crops.c.spool_key, crops.c.seq, crops.c.tracklet_key, crops.c.time_us, observations.c.quality),
        *(cameras.c.edge_id, cameras.c.camid, tracklets.c.start_us, tracklets.c.end_us),
    )
    query = (
        select(*columns)
        .join(tracklets, tracklets.c.tracklet_key == crops.c.tracklet_key)
        .join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
        .join(observations, (observations.c.spool_key == crops.c.spool_key) & (observations.c.seq == crops.c.seq))
    )
    found: list[CropRow] = []
    with engine.connect() as connection:
        for page in pages(sorted(wanted)):
            for row in connection.execute(query.where(crops.c.tracklet_key.in_(page))):
                name, camera = CropName(row.spool_key, row.seq), (row.edge_id, row.camid)
                if name in wanted[row.tracklet_key]:
                    span = row.start_us, row.end_us
                    found.append(CropRow(name, row.tracklet_key, camera, row.time_us, row.quality, *span))
    return found


def _link_files(rows: Sequence[CropRow], store: CropStore, folder: Path) -> list[CropRow]:
    """Give the files of crops a second name in a snapshot; those that made room meanwhile are left out.

    Raises:
        OSError: The disk is full.
    """
    (folder / CROPS_FOLDER).mkdir()
    linked: list[CropRow] = []
    for row in rows:
        path = store.path_of(row.name)
        try:
            try:
                os.link(path, folder / row.path)
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, folder / row.path)
        except FileNotFoundError:
            continue
        linked.append(row)
    return linked


def _pairs(spans: Sequence[CropRow], links: Sequence[Link]) -> tuple[IntArray, IntArray]:
    """Rows of tracklets that show two people, and of those that show one: (P, 2) int64 each.

    Words about tracklets that are not here still join those that are: of a merge, each is said to be like the first.
    """
    camera_of = {camera: number for number, camera in enumerate(sorted({span.camera for span in spans}))}
    cameras_N = np.array([camera_of[span.camera] for span in spans], dtype=np.int64)
    starts_N = np.array([span.start_us for span in spans], dtype=np.int64)
    ends_N = np.array([span.end_us for span in spans], dtype=np.int64)
    overlapping = list(overlapping_pairs(cameras_N, starts_N, ends_N))
    linked = chain.from_iterable((link.one_tracklet_key, link.other_tracklet_key) for link in links)
    keys = dict.fromkeys(chain((span.tracklet for span in spans), linked))
    row_of = {key: row for row, key in enumerate(keys)}
    words = [(link.kind == "must", (row_of[link.one_tracklet_key], row_of[link.other_tracklet_key])) for link in links]
    part_N = constrained_parts(len(row_of), overlapping, reversed(words)).part_N
    said_apart = [pair for is_must, pair in words if not is_must and part_N[pair[0]] != part_N[pair[1]]]
    apart = {tuple(sorted(pair)) for pair in chain(overlapping, said_apart) if max(pair) < len(spans)}
    first_of: dict[int, int] = {}
    together = [
        (first, row) for row in range(len(spans)) if (first := first_of.setdefault(int(part_N[row]), row)) != row
    ]
    return _array(sorted(apart)), _array(together)


def _array(pairs: Sequence[tuple[int, ...]]) -> IntArray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _start_us(rows: Iterable[CropRow]) -> int:
    return min(row.time_us for row in rows)
