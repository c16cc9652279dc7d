"""The database file of the crop ring. A cache: whatever is wrong with it, an empty one takes its place.

A file starts anew when it is damaged, of another format, of another spool (whose sequence numbers begin at 1 again) or
of another key (nobody can read it any more). Writes are not flushed one by one: a power loss costs the last crops, and
damages nothing (WAL, synchronous=NORMAL). What is deleted is overwritten (secure_delete).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from edge.errors import RingError
from edge.ring_key import SALT_BYTES, RingCipher
from reid.types import Box

logger = structlog.get_logger(__name__)

_APPLICATION_ID = 0x4F53_5043
"""'OSPC', in the header of the file."""
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE crops (
    seq INTEGER PRIMARY KEY,
    kept_us INTEGER NOT NULL, time_us INTEGER NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX crops_by_age ON crops (kept_us);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""
_INSERT = "INSERT OR REPLACE INTO crops VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_OLDEST = "SELECT seq FROM crops ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq FROM crops WHERE kept_us < ? LIMIT ?"
_AFTER = "SELECT seq FROM crops WHERE kept_us > ? LIMIT ?"
_WAL_LIMIT_BYTES = 4 << 20


class CropRow(NamedTuple):
    """A kept crop as it lies in the file; times in microseconds since the Unix epoch, the box in pixels."""

    seq: int
    kept_us: int
    time_us: int
    box: Box
    sealed: bytes


class RingFile:
    """An open ring file. One thread at a time. Every method raises sqlite3.Error when the disk or the file fails.

    Args:
        connection: In autocommit mode.
        cipher: Of its key.

    Attributes:
        cipher: Of its key.
        page_bytes: Size of a page of the file.
    """

    def __init__(self, connection: sqlite3.Connection, cipher: RingCipher) -> None:
        self.cipher = cipher
        self._connection = connection
        self.page_bytes = int(self._one("PRAGMA page_size"))

    @property
    def num_crops(self) -> int:
        """Crops in it."""
        return int(self._one("SELECT COUNT(*) FROM crops"))

    @property
    def file_bytes(self) -> int:
        """Size of the file without its write-ahead log."""
        return int(self._one("PRAGMA page_count")) * self.page_bytes

    @property
    def used_bytes(self) -> int:
        """Of these, taken."""
        return self.file_bytes - int(self._one("PRAGMA freelist_count")) * self.page_bytes

    def row(self, seq: int) -> CropRow | None:
        """The crop of this name, if it is there."""
        row = self._connection.execute("SELECT * FROM crops WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            return None
        seq, kept_us, time_us, x1, y1, x2, y2, sealed = row
        return CropRow(seq, kept_us, time_us, Box(x1, y1, x2, y2), sealed)

    def insert(self, rows: Sequence[CropRow]) -> None:
        """Add crops."""
        self._connection.executemany(_INSERT, [(*row[:3], *row.box, row.sealed) for row in rows])

    def oldest(self, number: int) -> list[int]:
        """Sequence numbers of the oldest crops."""
        return [row[0] for row in self._connection.execute(_OLDEST, (number,))]

    def kept_outside(self, first_us: int, last_us: int, *, number: int) -> list[int]:
        """Sequence numbers of crops that were kept before or after a span of time."""
        before = self._connection.execute(_BEFORE, (first_us, number)).fetchall()
        after = self._connection.execute(_AFTER, (last_us, number)).fetchall()
        return [row[0] for row in (*before, *after)]

    def delete(self, seqs: Sequence[int]) -> None:
        """Remove crops."""
        self._connection.executemany("DELETE FROM crops WHERE seq = ?", [(seq,) for seq in seqs])

    def flush(self) -> None:
        """Bring all changes into the file, and empty the write-ahead log, which still has what they replaced."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def number(self, name: str) -> int:
        """A remembered number; 0 when there is none."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def remember(self, **numbers: int) -> None:
        """Remember numbers by name."""
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(numbers.items()))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends some failed ones by itself
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._connection.close()

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]


def open_ring_file(path: Path, *, spool_id: str, secret: Callable[[], bytes]) -> RingFile:
    """Open a ring's file, or make it; one that cannot be used makes room for an empty one.

    Args:
        path: The file; made with its folder.
        spool_id: Of the spool that names the crops.
        secret: Gives the secret of this machine.

    Raises:
        sqlite3.Error: It cannot be opened or written.
        OSError: The folder, the secret or the old file cannot be handled.
        RingError: It is a database of somebody else's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        remove_ring_file(path, reason=f"damaged: {error}")
        connection = _connect(path)
    try:
        reason = _why_unfit(connection, path, spool_id, secret)
        if reason:
            connection.close()
            remove_ring_file(path, reason=reason)
            connection = _connect(path)
        return _open(connection, spool_id, secret)
    except BaseException:
        connection.close()
        raise


def remove_ring_file(path: Path, *, reason: str) -> None:
    """Delete a ring's file and what SQLite keeps beside it; logged.

    Raises:
        OSError: It cannot be deleted.
    """
    logger.warning("kept crops start anew", ring=str(path), reason=reason)
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file itself is broken."""
    return type(error) is sqlite3.DatabaseError


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # SQLite gives its other files the same rights
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        connection.execute("BEGIN IMMEDIATE")  # takes the lock now, not at the first write
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(connection: sqlite3.Connection, spool_id: str, secret: Callable[[], bytes]) -> RingFile:
    if _is_empty(connection):
        cipher = RingCipher(secret(), salt := os.urandom(SALT_BYTES))
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
        facts = {"spool_id": spool_id, "salt": salt, "key_check": cipher.key_check}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))
        connection.execute("COMMIT")
        return RingFile(connection, cipher)
    return RingFile(connection, _cipher(connection, secret))


def _why_unfit(connection: sqlite3.Connection, path: Path, spool_id: str, secret: Callable[[], bytes]) -> str:
    """Why a file cannot be gone on with; empty when it can."""
    try:
        if _is_empty(connection):
            return ""
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise RingError(f"{path} is a database, but no crop ring of an edge agent: move it away")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            return "of another format"
        if _fact(connection, "spool_id") != spool_id:
            return "of another spool"
        is_ours = _cipher(connection, secret).key_check == _fact(connection, "key_check")
        return "" if is_ours else "of another key: the bundle was renewed, or the key file lost"
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return f"damaged: {error}"


def _cipher(connection: sqlite3.Connection, secret: Callable[[], bytes]) -> RingCipher:
    salt = _fact(connection, "salt")
    if not isinstance(salt, bytes):
        raise sqlite3.DatabaseError("its salt is damaged")
    return RingCipher(secret(), salt)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0)


def _fact(connection: sqlite3.Connection, name: str) -> Any:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise sqlite3.DatabaseError(f"has no {name}")
    return row[0]
