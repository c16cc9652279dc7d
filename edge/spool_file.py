"""The spool's database file: opened, checked, and moved aside when it is damaged.

Rules: one process at a time (SQLite's exclusive lock, released by the system when a process is killed); every commit is
on the disk before it returns (WAL, synchronous=FULL); a file that is no spool of ours is refused, a damaged one is
renamed, kept for whoever wants to look, and replaced by an empty one.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import structlog

from edge.errors import SpoolError

logger = structlog.get_logger(__name__)

_APPLICATION_ID = 0x4F53_5052
"""'OSPR', in the header of the file."""
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE observations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL, dim INTEGER NOT NULL,
    camid TEXT NOT NULL, tracklet_id INTEGER NOT NULL, time_us INTEGER NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
    quality REAL NOT NULL, embedding BLOB NOT NULL, is_last INTEGER NOT NULL
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""
_WAL_LIMIT_BYTES = 4 << 20


def open_spool_file(path: Path) -> sqlite3.Connection:
    """Open a spool's file, or make it; a damaged one is moved aside first.

    Returns:
        A connection in autocommit mode that any thread may use, one at a time.

    Raises:
        SpoolError: The file cannot be opened or written, is in use, or is no spool.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(f"cannot make folder {path.parent} for the spool: {error.strerror}") from None
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise SpoolError(_explain(path, error)) from None
        moved = _move_aside(path)
        logger.warning("spool damaged, a new one is made", spool=str(path), moved_to=str(moved), reason=str(error))
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        raise SpoolError(_explain(path, error)) from None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        connection.execute("BEGIN IMMEDIATE")  # takes the lock now, not at the first write
        is_new = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
        connection.execute("COMMIT")
        if is_new:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != _APPLICATION_ID:
        raise SpoolError(f"{path} is a database, but no spool of an edge agent: give another path")
    if version != _VERSION:
        raise SpoolError(
            f"spool {path} has format {version}, this agent reads format {_VERSION}: "
            "drain it with the agent that wrote it, or give another path"
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _move_aside(path: Path) -> Path:
    """Rename a damaged file and its write-ahead log; returns the new name of the file."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(target.with_name(target.name + suffix))
    except OSError as error:
        raise SpoolError(f"spool {path} is damaged and cannot be moved aside: {error.strerror}") from None
    return target


def _explain(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return f"spool {path} is in use by another process: give each edge agent its own --spool"
    return f"cannot open spool {path}: {error}; check the folder, its rights and the space on its disk"
