"""The audit log in the database."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Connection, insert, select

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
    return [
        (
            row.entry_key,
            AuditEntry(
                time_us=row.time_us,
                actor=Actor(row.actor, cast(Role, row.role)),
                what=row.what,
                subject=row.subject,
                outcome=row.outcome,
            ),
        )
        for row in rows
    ]
