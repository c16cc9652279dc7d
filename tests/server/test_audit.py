from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.storage.database import StorageSettings, open_database, read_database
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


def test_reading_the_log_never_holds_up_the_writer(
    storage: StorageSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.storage.audit._PAGE", 2)
    patience = storage.model_copy(update={"busy_timeout_s": 0.05})
    written = SqlRecords(open_database(patience, data=tmp_path))
    for time_us in range(1, 6):
        written.append_audit(entry(time_us))
    reader = SqlRecords(read_database(patience, data=tmp_path))
    entries = reader.iter_audit()
    first = next(entries)
    written.append_audit(entry(6))
    assert [item.time_us for item in (first, *entries)] == [1, 2, 3, 4, 5, 6]
    written.close()
    reader.close()


def test_all_entries_come_once_over_many_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.audit._PAGE", 2)
    records = SqlRecords(engine)
    for time_us in range(1, 6):
        records.append_audit(entry(time_us))
    assert [item.time_us for item in records.iter_audit()] == [1, 2, 3, 4, 5]
