"""Crops that the server has: JPEG files in a folder, and a row for each.

Rows are the truth. A file is there before its row, and goes after it; what a crash leaves behind is cleared at start.
`keep`, `note_forgotten` and `sweep` change rows and belong to the writer's thread; any thread may write files and read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Engine, Table, delete, func, select

from reid.files import write_atomic
from server.crops.budget import EdgeTraffic, charge, read_traffic, utc_day
from server.errors import StorageError
from server.storage.bulk import find_rows, insert_rows
from server.storage.database import explained
from server.storage.lease import Lease, owned_change
from server.storage.rows import pages
from server.storage.schema import crop_erasures, crops, observations, tracklets
from server.types import CropName

logger = structlog.get_logger(__name__)

_FOLDERS = 256
_SWEEP_PAGE = 5000
_COLUMNS = ("spool_key", "seq", "tracklet_key", "time_us", "num_bytes", "received_us")


class ArrivedCrop(NamedTuple):
    """A crop that was asked for, checked and about to be kept."""

    name: CropName
    tracklet: int
    time_us: int
    jpeg: bytes


class StoredCrop(NamedTuple):
    """A crop that is here; `quality` in [0, 1]."""

    tracklet: int
    path: Path
    quality: float


class CropStore:
    """Keeps crops, the newest within a quota.

    Args:
        engine: Made by `open_database`.
        folder: Of the files; made if it is missing.
        quota_bytes: Space for them; the oldest make room.
        clock_us: Microseconds since the Unix epoch.
        lease: Checked in the transaction of every change; without one, nobody else may write to this database.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        *,
        quota_bytes: int,
        clock_us: Callable[[], int],
        lease: Lease | None = None,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._clock_us = clock_us
        self._lease = lease
        self._num_bytes: int | None = None  # of all rows, once it was asked

    def path_of(self, name: CropName) -> Path:
        """Where the file of a crop lies, or would."""
        return self._folder / str(name.spool_key) / f"{name.seq % _FOLDERS:02x}" / f"{name.seq}.jpg"

    @explained
    def known(self, names: Sequence[CropName]) -> set[CropName]:
        """Those of the crops that are here."""
        with self._engine.connect() as connection:
            return _known(connection, names)

    def traffic(self, edge_id: str, *, day: int) -> EdgeTraffic:
        """What an edge was made to send; see `read_traffic`."""
        return read_traffic(self._engine, edge_id, day=day)

    @explained
    def in_space_of_others(self, space: str) -> list[StoredCrop]:
        """Crops of tracklets that no edge embedded in a space."""
        query = (
            select(crops.c.spool_key, crops.c.seq, crops.c.tracklet_key, observations.c.quality)
            .join(tracklets, tracklets.c.tracklet_key == crops.c.tracklet_key)
            .join(observations, (observations.c.spool_key == crops.c.spool_key) & (observations.c.seq == crops.c.seq))
            .where(tracklets.c.space != space)
            .order_by(crops.c.tracklet_key, crops.c.time_us)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            StoredCrop(row.tracklet_key, self.path_of(CropName(row.spool_key, row.seq)), row.quality) for row in rows
        ]

    def write_files(self, arrived: Iterable[ArrivedCrop]) -> None:
        """Write files, before `keep` makes rows of them.

        Raises:
            StorageError: The disk is full or cannot be written; some of the files may be there, without a row.
        """
        for crop in arrived:
            path = self.path_of(crop.name)
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomic(path, crop.jpeg, mode=0o600)
            except OSError as error:
                raise StorageError(f"crop {path} cannot be written: {error.strerror}") from None

    @explained
    def keep(self, edge_id: str, arrived: Sequence[ArrivedCrop], *, num_crops: int, num_bytes: int) -> list[CropName]:
        """Make rows of crops whose files are written, and charge their edge, in one transaction.

        Args:
            edge_id: Who sent them.
            arrived: What is to be kept.
            num_crops: What came, refused ones included.
            num_bytes: Of all that came.

        Returns:
            What is kept: not the crops of tracklets that were deleted meanwhile, whose files go again.

        Raises:
            StorageError: No row was made.
        """
        now_us = self._clock_us()
        with owned_change(self._engine, self._lease) as connection:
            living = _living(connection, {crop.tracklet for crop in arrived})
            known = _known(connection, [crop.name for crop in arrived])
            kept = [crop for crop in arrived if crop.tracklet in living]
            rows = [
                (*crop.name, crop.tracklet, crop.time_us, len(crop.jpeg), now_us)
                for crop in kept
                if crop.name not in known
            ]
            insert_rows(connection, crops, _COLUMNS, rows)
            charge(connection, edge_id, day=utc_day(now_us), num_crops=num_crops, num_bytes=num_bytes)
            stored_bytes, self._num_bytes = self._num_bytes, None  # until the transaction is whole
            if stored_bytes is None:
                stored_bytes = int(connection.scalar(select(func.sum(crops.c.num_bytes))) or 0)
            else:
                stored_bytes += sum(num_row_bytes for *_, num_row_bytes, _ in rows)
            removed = _delete_oldest(connection, stored_bytes - self._quota_bytes)
        self._num_bytes = None if removed else stored_bytes
        if orphans := [crop.name for crop in arrived if crop.tracklet not in living]:
            self.forget(orphans)
        if removed:
            self.forget(removed)
            logger.warning("oldest crops made room", crops=len(removed), quota_bytes=self._quota_bytes)
        return [crop.name for crop in kept]

    def forget(self, names: Iterable[CropName]) -> None:
        """Remove the files of crops whose rows are gone; what cannot be removed now goes at the next start."""
        self._num_bytes = None
        for name in names:
            try:
                self.path_of(name).unlink(missing_ok=True)
            except OSError as error:
                logger.error("crop not removed", path=str(self.path_of(name)), error=str(error))

    @explained
    def to_forget(self, spool_key: int, limit: int) -> list[int]:
        """Sequence numbers of crops of erased persons that a spool's edge may still have, some of them."""
        query = select(crop_erasures.c.seq).where(crop_erasures.c.spool_key == spool_key)
        with self._engine.connect() as connection:
            return list(connection.scalars(query.order_by(crop_erasures.c.seq).limit(limit)))

    @explained
    def note_forgotten(self, names: Sequence[CropName]) -> list[CropName]:
        """The edges have these no more; gives those that they were still to delete."""
        with owned_change(self._engine, self._lease) as connection:
            rows = find_rows(connection, crop_erasures, ("spool_key", "seq"), names)
            noted = [CropName(row.spool_key, row.seq) for row in rows]
            _delete_names(connection, crop_erasures, noted)
        return noted

    def sweep(self) -> None:
        """Make rows and files agree after a crash: files without a row go, and rows without a file.

        Raises:
            StorageError: The rows cannot be read or written.
        """
        lost = [name for name in self._iter_names() if not self.path_of(name).is_file()]
        if lost:
            logger.error("crops are missing on disk", crops=len(lost), folder=str(self._folder))
            self._delete_rows(lost)
        found = list(_files(self._folder))
        for first in range(0, len(found), _SWEEP_PAGE):
            page = found[first : first + _SWEEP_PAGE]
            known = self.known([name for name, _ in page if name is not None])
            for name, path in page:
                if name is None or name not in known:
                    path.unlink(missing_ok=True)

    @explained
    def _delete_rows(self, names: Sequence[CropName]) -> None:
        with owned_change(self._engine, self._lease) as connection:
            _delete_names(connection, crops, names)

    @explained
    def _page_of_names(self, after: CropName) -> list[CropName]:
        is_later = (crops.c.spool_key > after.spool_key) | (
            (crops.c.spool_key == after.spool_key) & (crops.c.seq > after.seq)
        )
        query = select(crops.c.spool_key, crops.c.seq).where(is_later).order_by(crops.c.spool_key, crops.c.seq)
        with self._engine.connect() as connection:
            return [CropName(row.spool_key, row.seq) for row in connection.execute(query.limit(_SWEEP_PAGE))]

    def _iter_names(self) -> Iterator[CropName]:
        last = CropName(-1, -1)
        while page := self._page_of_names(last):
            yield from page
            last = page[-1]


def _known(connection: Connection, names: Sequence[CropName]) -> set[CropName]:
    return {CropName(row.spool_key, row.seq) for row in find_rows(connection, crops, ("spool_key", "seq"), names)}


def _living(connection: Connection, tracklet_keys: Iterable[int]) -> set[int]:
    """Those of the tracklets that are stored."""
    living: set[int] = set()
    for page in pages(sorted(tracklet_keys)):
        living.update(connection.scalars(select(tracklets.c.tracklet_key).where(tracklets.c.tracklet_key.in_(page))))
    return living


def _delete_oldest(connection: Connection, excess_bytes: int) -> list[CropName]:
    """Delete the oldest rows until as much is gone; gives their names."""
    if excess_bytes <= 0:
        return []
    removed: list[CropName] = []
    for row in connection.execute(select(crops).order_by(crops.c.received_us, crops.c.spool_key, crops.c.seq)):
        if excess_bytes <= 0:
            break
        removed.append(CropName(row.spool_key, row.seq))
        excess_bytes -= row.num_bytes
    _delete_names(connection, crops, removed)
    return removed


def _delete_names(connection: Connection, table: Table, names: Iterable[CropName]) -> None:
    for name in names:
        connection.execute(delete(table).where(table.c.spool_key == name.spool_key, table.c.seq == name.seq))


def _files(folder: Path) -> Iterator[tuple[CropName | None, Path]]:
    """Every file under a folder of crops, and the crop it is named after; None for a file that was never finished."""
    for path in folder.glob("*/*/*"):
        spool_key, seq = path.parent.parent.name, path.stem
        is_crop = path.suffix == ".jpg" and spool_key.isdecimal() and seq.isdecimal()
        yield (CropName(int(spool_key), int(seq)) if is_crop else None), path
