"""The audit log in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Engine, Row, insert, select

from server.storage.database import explained
from server.storage.records import AuditEntry
from server.storage.schema import audit
from server.types import Actor, Role

_PAGE = 1000


def write_audit(connection: Connection, entry: AuditEntry) -> None:
    """Add one entry to the log, within the caller's transaction."""
    values = {
        "time_us": entry.time_us,
        "actor": entry.actor.name,
        "role": entry.actor.role,
        "what": entry.what,
        "subject": entry.subject,
        "outcome": entry.outcome,
    }
    connection.execute(insert(audit).values(values))


def audit_page(connection: Connection, *, since_us: int, after: int) -> list[tuple[int, AuditEntry]]:
    """The next entries of a moment or later, each with its key, in the order in which they were written."""
    query = select(audit).where(audit.c.entry_key > after, audit.c.time_us >= since_us)
    rows = connection.execute(query.order_by(audit.c.entry_key).limit(_PAGE)).all()
    return [_entry(row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """Which entries are wanted; empty for all.

    Attributes:
        actor: Who.
        what: The operation.
        since_us: From when, microseconds since the Unix epoch.
        until_us: Until when, itself included.
    """

    actor: str = ""
    what: str = ""
    since_us: int = -(1 << 63)
    until_us: int = (1 << 63) - 1


class AuditLog:
    """Reads the log backwards, page by page. Any thread may call it.

    Args:
        engine: Made by `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @explained
    def page(self, wanted: AuditQuery, *, before: int, limit: int) -> list[tuple[int, AuditEntry]]:
        """The latest entries, each with its key, newest first.

        Args:
            wanted: Which.
            before: Only those with a smaller key; 0 for all.
            limit: Most entries.

        Raises:
            StorageError: The records cannot be read.
        """
        query = select(audit).where(audit.c.time_us.between(wanted.since_us, wanted.until_us))
        for column, value in ((audit.c.actor, wanted.actor), (audit.c.what, wanted.what)):
            query = query.where(column == value) if value else query
        if before:
            query = query.where(audit.c.entry_key < before)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(audit.c.entry_key.desc()).limit(limit)).all()
        return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> tuple[int, AuditEntry]:
    entry = AuditEntry(
        time_us=row.time_us,
        actor=Actor(row.actor, cast(Role, row.role)),
        what=row.what,
        subject=row.subject,
        outcome=row.outcome,
    )
    return row.entry_key, entry
