"""Copies of an SQLite database: taken while a server writes, checked, and put back.

A copy is one file, durable and checked before it gets its name. It holds no lease, so that whoever restores it need not
wait for the server that it was taken from. Other databases have tools of their own for this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from reid.files import fill_atomic
from server.errors import StorageError
from server.storage.database import StorageSettings, known_versions, lock_folder


def back_up(settings: StorageSettings, *, data: Path, out: Path) -> int:
    """Copy the records of a data folder; a server may be writing to them.

    Returns:
        Size of the copy in bytes.

    Raises:
        StorageError: There are no records, they are damaged, or lie in another kind of database.
        OSError: The copy cannot be written; then there is none.
    """
    source = _records_path(settings, data=data)
    if not source.is_file():
        raise StorageError(f"there are no records at {source}: name the server's data folder")
    with fill_atomic(out) as copy:
        _copy(source, copy)
        with _explained(copy), closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute("UPDATE lease SET expires_us = 0")
        _check(copy, shown=source)
    return out.stat().st_size


def restore(settings: StorageSettings, *, data: Path, source: Path, is_forced: bool) -> None:
    """Put a copy in the place of a data folder's records.

    Args:
        settings: Where the records lie.
        data: The server's data folder; made if it is missing.
        source: Made by `back_up`.
        is_forced: Replace records that are there.

    Raises:
        StorageError: The copy is damaged or of a newer server, a server is using the folder, or it has records and
            `is_forced` is not given; what was there is intact.
        OSError: The records cannot be written; what was there is intact.
    """
    if not source.is_file():
        raise StorageError(f"there is no backup at {source}")
    _check(source, shown=source)
    with lock_folder(data):
        target = _records_path(settings, data=data)
        if target.exists() and not is_forced:
            raise StorageError(f"{target} has records: give --force to put the backup in their place")
        with fill_atomic(target) as copy:
            _copy(source, copy)
            for leftover in ("-wal", "-shm"):  # of the old records: they must not be replayed into the new
                target.with_name(target.name + leftover).unlink(missing_ok=True)


def _records_path(settings: StorageSettings, *, data: Path) -> Path:
    try:
        url = make_url(settings.url)
    except ArgumentError:
        raise StorageError("storage.url cannot be parsed, so the records cannot be found") from None
    if url.get_backend_name() != "sqlite":
        raise StorageError(
            f"the records lie in {url.get_backend_name()}, which has its own tools for this: for PostgreSQL, "
            "pg_dump --format=custom makes a backup while the server runs, and pg_restore puts it back"
        )
    return Path((url.database or "").replace("{data}", str(data)))


def _copy(source: Path, copy: Path) -> None:
    with _explained(source), _read_only(source) as original, closing(sqlite3.connect(copy)) as target:
        original.backup(target)  # one read transaction: a consistent moment, and no writer waits for it
        target.execute("PRAGMA journal_mode=DELETE")  # so that one file is all of it


def _check(path: Path, *, shown: Path) -> None:
    with _explained(shown), _read_only(path) as connection:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise StorageError(f"records at {shown} are damaged: {found}")
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if version not in (known := known_versions()):
        raise StorageError(
            f"records at {shown} have schema version {version}, this program knows up to {max(known)}: "
            "a newer server made them; install that one"
        )


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"records at {path} cannot be copied: {error}") from None
