"""The spool: observations wait here, on disk, until the server has acknowledged them.

Invariants:
- `append` returns after its observations are durable, all of them or (on `SpoolError`) none.
- Sequence numbers start at 1, rise, and are never used twice within one `spool_id`, whatever is deleted or killed.
- An observation leaves when the server has acknowledged it, as the oldest one when the file would outgrow its bound,
  or when the disk has damaged it; `dropped` counts the last two for the life of the spool.
- Embeddings are stored as halves, as they travel; each row carries its space.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field

from edge.errors import SpoolError
from edge.spool_file import open_spool_file
from reid.embedding import pack, unpack
from reid.errors import EmbeddingError, ObservationError
from reid.settings import Settings
from reid.types import Box, Observation, SpooledObservation, check_storable

logger = structlog.get_logger(__name__)

_ROW_OVERHEAD_BYTES = 400
"""Upper bound of what a row takes beside its embedding: columns, and the part of its page left empty."""
_COLUMNS = "space, dim, camid, tracklet_id, time_us, x1, y1, x2, y2, quality, embedding, is_last"
_INSERT = f"INSERT INTO observations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = f"SELECT seq, {_COLUMNS} FROM observations WHERE seq > ? ORDER BY seq LIMIT ?"


class SpoolSettings(Settings):
    """Where observations wait, and how much of the disk they may take."""

    path: Path = Path("osprey-edge.spool")
    """The database file; made when missing. Each agent needs its own."""
    limit_mib: int = Field(default=512, ge=1)
    """Largest size of the file in MiB; beyond it the oldest observations are dropped. 512 MiB hold about 420,000."""


@dataclass(frozen=True)
class SpoolBatch:
    """Observations of one space, in rising order of their sequence numbers; at least one."""

    space: str
    dim: int
    observations: list[SpooledObservation]


class Spool:
    """A bounded queue on disk. Safe to use from several threads.

    Args:
        path: The database file; made with its folder when missing.
        limit_bytes: Largest size of the file; its write-ahead log takes up to 4 MiB more.

    Raises:
        SpoolError: The file cannot be opened or written, is in use by another process, or is no spool.

    Attributes:
        spool_id: Made with the file.
    """

    spool_id: str

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._connection = open_spool_file(path)
        try:
            with self._transaction("open"):
                self.spool_id = str(self._meta("spool_id", "")) or self._set_meta("spool_id", str(uuid.uuid4()))
                self._dropped = int(self._meta("dropped", 0))
                self._acked_seq = int(self._meta("acked_seq", 0))
                self._depth = int(self._one("SELECT COUNT(*) FROM observations"))
                self._page_bytes = int(self._one("PRAGMA page_size"))
        except BaseException:
            self._connection.close()
            raise

    @property
    def depth(self) -> int:
        """Observations that wait."""
        return self._depth

    @property
    def dropped(self) -> int:
        """Observations lost to the bound or to a damaged disk since the spool was made."""
        return self._dropped

    @property
    def acked_seq(self) -> int:
        """Highest sequence number that the server has acknowledged; 0 when there is none."""
        return self._acked_seq

    def oldest_us(self) -> int | None:
        """Time of the first observation that waits, microseconds since the Unix epoch; None when none does.

        Raises:
            SpoolError: The file cannot be read.
        """
        with self._guard("read"):
            row = self._connection.execute("SELECT time_us FROM observations ORDER BY seq LIMIT 1").fetchone()
        return int(row[0]) if row else None

    def append(self, observations: Sequence[Observation], *, space: str) -> int:
        """Store observations in one transaction, and drop the oldest if the file would outgrow its bound.

        Args:
            observations: In the order in which they shall be sent.
            space: Of their embeddings.

        Returns:
            The highest sequence number given out so far; that of the last observation if there is one. The others of
            this call have the numbers just before it, in their order.

        Raises:
            SpoolError: The disk is full or broken; none of them was stored, nothing was dropped.
            ObservationError: An embedding is not finite or not of unit norm, a quality is not in [0, 1], or a box is
                empty; none was stored.
        """
        rows = [_to_row(observation, space) for observation in observations]
        with self._transaction("append to"):
            dropped = self._drop_for(observations)
            if dropped:
                self._set_meta("dropped", self._dropped + dropped)
            self._connection.executemany(_INSERT, rows)
            last_seq = self._last_seq()
        self._dropped += dropped
        self._depth += len(rows) - dropped
        return last_seq

    def read_batch(self, after_seq: int, limit: int) -> SpoolBatch | None:
        """Read the next observations, up to a change of space.

        Rows whose embedding was damaged on the disk are deleted and counted as dropped: they are lost anyway, and must
        not stand in the way of the others.

        Args:
            after_seq: Only later ones.
            limit: At most so many.

        Returns:
            A batch, or None when there is nothing later.

        Raises:
            SpoolError: The file cannot be read, or not written when a row in it is damaged.
        """
        with self._guard("read"):
            rows = self._connection.execute(_SELECT, (after_seq, limit)).fetchall()
        if not rows:
            return None
        space, dim = rows[0][1:3]
        observations: list[SpooledObservation] = []
        damaged: list[int] = []
        for row in takewhile(lambda row: row[1:3] == (space, dim), rows):
            try:
                observations.append(_from_row(row))
            except EmbeddingError:
                damaged.append(row[0])
        if damaged:
            self._delete_damaged(damaged)
            return self.read_batch(after_seq, limit)
        return SpoolBatch(space, dim, observations)

    def acknowledge(self, seq: int) -> int:
        """Delete everything up to a sequence number that the server has made durable.

        A number beyond the last one given out (the file is an old copy) also lifts the counter, since the server would
        take new observations under used numbers for repeats.

        Returns:
            How many observations were deleted.

        Raises:
            SpoolError: The write failed; nothing was deleted.
        """
        if seq <= self._acked_seq:
            return 0
        with self._transaction("acknowledge in"):
            deleted = self._connection.execute("DELETE FROM observations WHERE seq <= ?", (seq,)).rowcount
            self._set_meta("acked_seq", seq)
            if seq > (last_seq := self._last_seq()):
                logger.warning("the spool is an older copy than the server knows", acked_seq=seq, last_seq=last_seq)
                self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'observations'")
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('observations', ?)", (seq,))
        self._acked_seq = seq
        self._depth -= deleted
        return deleted

    def camids(self) -> list[str]:
        """Cameras of the observations that wait, sorted.

        Raises:
            SpoolError: The file cannot be read.
        """
        with self._guard("read"):
            rows = self._connection.execute("SELECT DISTINCT camid FROM observations ORDER BY camid").fetchall()
        return [row[0] for row in rows]

    def claim_start_ms(self, now_ms: int) -> int:
        """A moment for this start of the agent: now, or just after the last one claimed if the clock was set back.

        Raises:
            SpoolError: The write failed.
        """
        with self._transaction("append to"):
            start_ms = max(now_ms, int(self._meta("start_ms", 0)) + 1)
            self._set_meta("start_ms", start_ms)
        return start_ms

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    def _drop_for(self, incoming: Sequence[Observation]) -> int:
        """Delete the oldest observations until the incoming ones fit; returns how many."""
        needed = sum(2 * len(observation.embedding) + _ROW_OVERHEAD_BYTES for observation in incoming)
        dropped = 0
        while self._depth > dropped and (excess := self._used_bytes() + needed - self._limit_bytes) > 0:
            num_rows = max(1, excess * (self._depth - dropped) // max(1, self._used_bytes()))
            cut = "SELECT seq FROM observations ORDER BY seq LIMIT ?"
            dropped += self._connection.execute(f"DELETE FROM observations WHERE seq IN ({cut})", (num_rows,)).rowcount
        return dropped

    def _delete_damaged(self, seqs: list[int]) -> None:
        with self._transaction("mend"):
            self._connection.executemany("DELETE FROM observations WHERE seq = ?", [(seq,) for seq in seqs])
            self._set_meta("dropped", self._dropped + len(seqs))
        self._dropped += len(seqs)
        self._depth -= len(seqs)
        logger.error("damaged observations dropped", spool=str(self._path), number=len(seqs), first_seq=seqs[0])

    def _used_bytes(self) -> int:
        pages = int(self._one("PRAGMA page_count")) - int(self._one("PRAGMA freelist_count"))
        return pages * self._page_bytes

    def _last_seq(self) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'observations'").fetchone()
        return int(row[0]) if row else 0

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def _meta(self, name: str, default: Any) -> Any:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else default

    def _set_meta(self, name: str, value: Any) -> Any:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
        return value

    @contextmanager
    def _guard(self, deed: str) -> Iterator[None]:
        """Hold the lock; SQLite's errors become `SpoolError`."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise SpoolError(f"cannot {deed} spool {self._path}: {error}; check its disk") from None

    @contextmanager
    def _transaction(self, deed: str) -> Iterator[None]:
        """All or nothing."""
        with self._guard(deed):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends some failed ones by itself
                    self._connection.execute("ROLLBACK")
                raise


def _to_row(observation: Observation, space: str) -> tuple[Any, ...]:
    dim = len(observation.embedding)
    packed = pack(observation.embedding)
    try:
        unpack(packed, dim=dim)  # one that cannot be read back would block the head of the queue for ever
        check_storable(observation.box, observation.quality)  # the server would refuse it
    except (EmbeddingError, ObservationError) as error:
        raise ObservationError(f"{observation.camid} tracklet {observation.tracklet_id}: {error}") from None
    return (
        *(space, dim, observation.camid, observation.tracklet_id, observation.time_us),
        *(float(side) for side in observation.box),
        *(float(observation.quality), packed, int(observation.is_last)),
    )


def _from_row(row: tuple[Any, ...]) -> SpooledObservation:
    seq, _, dim, camid, tracklet_id, time_us, x1, y1, x2, y2, quality, embedding, is_last = row
    observation = Observation(
        camid=camid,
        tracklet_id=tracklet_id,
        time_us=time_us,
        box=Box(x1, y1, x2, y2),
        quality=quality,
        embedding=unpack(embedding, dim=dim),
        is_last=bool(is_last),
    )
    return SpooledObservation(seq, observation)
