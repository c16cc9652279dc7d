from __future__ import annotations

from sqlalchemy import Engine

from server.storage.audit import AuditLog, AuditQuery, write_audit
from server.storage.records import AuditEntry
from server.types import Actor


def write(engine: Engine, *entries: tuple[int, str, str]) -> AuditLog:
    with engine.begin() as connection:
        for time_us, name, what in entries:
            actor = Actor(name, "operator")
            write_audit(connection, AuditEntry(time_us=time_us, actor=actor, what=what, subject="", outcome="done"))
    return AuditLog(engine)


def times(page: list[tuple[int, AuditEntry]]) -> list[int]:
    return [entry.time_us for _, entry in page]


def test_pages_go_backwards_and_leave_nothing_out(engine: Engine) -> None:
    log = write(engine, *((time_us, "ann", "search") for time_us in range(5)))
    first = log.page(AuditQuery(), before=0, limit=2)
    second = log.page(AuditQuery(), before=first[-1][0], limit=9)
    assert times([*first, *second]) == [4, 3, 2, 1, 0]


def test_entries_are_found_by_who_what_and_when(engine: Engine) -> None:
    log = write(engine, (1, "ann", "search"), (2, "ben", "search"), (3, "ann", "merge"), (4, "ann", "search"))
    wanted = AuditQuery(actor="ann", what="search", since_us=1, until_us=3)
    assert times(log.page(wanted, before=0, limit=9)) == [1]
