from __future__ import annotations

import pytest
from sqlalchemy import Engine

from server.storage.records import AuditEntry
from server.storage.sql import SqlRecords
from server.types import Actor


def entry(time_us: int) -> AuditEntry:
    return AuditEntry(
        time_us=time_us, actor=Actor("vic", "viewer"), what="search", subject="photo", outcome="3 persons"
    )


def test_entries_are_read_back_in_the_order_in_which_they_were_written(engine: Engine) -> None:
    records = SqlRecords(engine)
    for time_us in (5, 9, 7):
        records.append_audit(entry(time_us))
    assert list(records.iter_audit()) == [entry(5), entry(9), entry(7)]
    assert list(records.iter_audit(since_us=7)) == [entry(9), entry(7)]


def test_all_entries_come_once_over_many_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.audit._PAGE", 2)
    records = SqlRecords(engine)
    for time_us in range(1, 6):
        records.append_audit(entry(time_us))
    assert [item.time_us for item in records.iter_audit()] == [1, 2, 3, 4, 5]
