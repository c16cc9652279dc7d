"""What SQLite alone can take: rows of observations like the server's, committed with nothing else around them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from server.storage.database import StorageSettings, open_database

_INSERT = "INSERT INTO observations (spool_key, seq, tracklet_key, time_us, x1, y1, x2, y2, quality, embedding) VALUES "
_COLUMNS = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def raw_sqlite_per_s(folder: Path, *, dim: int, rows_per_commit: int, seconds: float) -> float:
    """Rows a second, durable (WAL, synchronous=FULL), in the server's own schema.

    Args:
        folder: For the database.
        dim: Numbers in an embedding.
        rows_per_commit: Rows in one transaction.
        seconds: How long to go on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_database(StorageSettings(), data=folder).dispose()
    content = bytes(2 * dim)
    with closing(sqlite3.connect(folder / "records.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA foreign_keys=OFF")  # tracklets and spools are left out: only the rows count
        num_rows, start_s = 0, time.monotonic()
        while time.monotonic() < start_s + seconds:
            seqs = range(num_rows + 1, num_rows + 1 + rows_per_commit)
            rows = [
                (1 + seq % 200, seq, 1 + seq // 20 % 500, 10**15 + seq, 1.0, 2.0, 3.0, 4.0, 0.7, content)
                for seq in seqs
            ]
            connection.execute("BEGIN")
            connection.executemany(_INSERT + _COLUMNS, rows)
            connection.execute("COMMIT")
            num_rows += rows_per_commit
        return num_rows / (time.monotonic() - start_s)
