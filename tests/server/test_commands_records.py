from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes_records import fill

from server.cli import main
from server.storage.database import StorageSettings, open_database
from server.storage.records import AuditEntry
from server.storage.sql import SqlRecords
from server.types import Actor

DAY_US = 86_400 * 1_000_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose audit log has an entry of 1 January and one of 2 January 1970."""
    records = SqlRecords(open_database(StorageSettings(), data=tmp_path))
    fill(records, {1: 1})
    for day, name in enumerate(("ann", "bob")):
        actor = Actor(name, "operator")
        records.append_audit(AuditEntry(time_us=day * DAY_US, actor=actor, what="merge", subject="x", outcome="done"))
    records.close()
    return tmp_path


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_the_audit_log_is_printed_from_a_moment_on(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("audit", "--data", data, "--since", "1970-01-02", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry == {
        "time": "1970-01-02T00:00:00.000+00:00",
        "actor": "bob",
        "role": "operator",
        "what": "merge",
        "subject": "x",
        "outcome": "done",
    }


def test_the_audit_log_is_a_table_for_people(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("audit", "--data", data) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["time", "who", "role", "what", "subject", "outcome"]
    assert [line.split()[1] for line in lines[1:]] == ["ann", "bob"]


def test_reading_the_audit_log_makes_and_changes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("audit", "--data", data / "nowhere") == 2
    assert "there are no records at" in capsys.readouterr().err
    assert not (data / "nowhere").exists()


def test_a_moment_that_is_none_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("audit", "--data", data, "--since", "yesterday") == 2
    assert "--since 'yesterday': wanted a date" in capsys.readouterr().err


def test_backup_and_restore_say_what_they_did(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = data / "copy.db"
    assert run("backup", "--data", data, "--out", copy, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(copy), "num_bytes": copy.stat().st_size}
    assert run("restore", "--data", data / "new", "--from", copy) == 0
    assert "restored from" in capsys.readouterr().out
    assert run("restore", "--data", data / "new", "--from", copy) == 2
    assert "--force" in capsys.readouterr().err
