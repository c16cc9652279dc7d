from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from fakes_running import running_server
from releases import write_tiny_release

from reid.release import GOLDEN_FILE, Release
from server import doctor
from server.doctor import Finding, Verdict, examine
from server.settings import ServerSettings


@pytest.fixture
def settings(tmp_path: Path, tiny_release: Release) -> ServerSettings:
    return ServerSettings(
        data=tmp_path / "data", release=tiny_release.folder, listen=f"127.0.0.1:{free_port()}", insecure=True
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def verdict(finding: Finding) -> tuple[Verdict, str]:
    return finding.verdict, f"{finding.seen} -> {finding.advice}"


def test_a_machine_that_is_fit_has_no_failure(settings: ServerSettings) -> None:
    findings = list(examine(settings))
    assert [finding.check for finding in findings if finding.verdict == "fail"] in ([], ["disk space"])
    assert len(findings) == 10
    assert not settings.data.exists()


def test_records_of_a_server_are_whole(settings: ServerSettings, tiny_release: Release) -> None:
    with running_server(settings.data, tiny_release):
        assert doctor.check_records(settings).verdict == "ok"


@pytest.mark.parametrize(
    ("statement", "expected", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "fail", "a newer server made them"),
        ("UPDATE alembic_version SET version_num = '0001'", "warn", "back up before the next start"),
    ],
    ids=["newer", "older"],
)
def test_records_of_another_schema_are_told(
    settings: ServerSettings, tiny_release: Release, statement: str, expected: Verdict, words: str
) -> None:
    with running_server(settings.data, tiny_release):
        pass
    with closing(sqlite3.connect(settings.data / "records.db")) as records, records:
        records.execute(statement)
    came, text = verdict(doctor.check_records(settings))
    assert came == expected
    assert words in text


def test_damaged_records_are_a_failure(settings: ServerSettings) -> None:
    settings.data.mkdir()
    (settings.data / "records.db").write_bytes(b"no database" * 1000)
    came, text = verdict(doctor.check_records(settings))
    assert came == "fail"
    assert "osprey-server restore" in text


def test_an_altered_release_is_a_failure_and_the_other_checks_go_on(settings: ServerSettings) -> None:
    with (settings.release / GOLDEN_FILE).open("ab") as file:
        file.write(b"x")
    verdicts = {finding.check: finding.verdict for finding in examine(settings)}
    assert (verdicts["release"], verdicts["SQLite"], verdicts["address"]) == ("fail", "ok", "ok")


def test_a_threshold_that_nobody_measured_is_a_warning(settings: ServerSettings, tmp_path: Path) -> None:
    blind = write_tiny_release(tmp_path / "blind", match=0.05)
    assert doctor.check_threshold(settings.model_copy(update={"release": blind.folder})).verdict == "warn"
    assert doctor.check_threshold(settings).verdict == "ok"


def test_a_folder_that_cannot_be_written_is_a_failure(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor, "_sync_ms", refuse)
    assert doctor.check_folder(settings).verdict == "fail"


@pytest.mark.parametrize(("sync_ms", "expected"), [(2.0, "ok"), (80.0, "warn")])
def test_a_slow_disk_is_a_warning(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, sync_ms: float, expected: Verdict
) -> None:
    monkeypatch.setattr(doctor, "_sync_ms", lambda folder: sync_ms)
    assert doctor.check_folder(settings).verdict == expected


@pytest.mark.parametrize(("free_gib", "expected"), [(0.5, "fail"), (5, "warn"), (50, "ok")])
def test_little_space_is_told(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, free_gib: float, expected: Verdict
) -> None:
    usage = shutil._ntuple_diskusage(100 << 30, 0, int(free_gib * (1 << 30)))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert doctor.check_space(settings).verdict == expected


@pytest.mark.parametrize(("synchronised", "expected"), [(True, "ok"), (False, "warn"), (None, "warn")])
def test_a_clock_without_ntp_is_a_warning(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, synchronised: bool | None, expected: Verdict
) -> None:
    monkeypatch.setattr(doctor, "_ntp_synchronised", lambda: synchronised)
    assert doctor.check_clock(settings).verdict == expected


def test_a_clock_years_back_is_a_failure(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now_s - 9e7)
    assert doctor.check_clock(settings).verdict == "fail"


def test_a_server_without_certificate_is_told_how_to_make_one(settings: ServerSettings) -> None:
    came, text = verdict(doctor.check_certificate(settings.model_copy(update={"insecure": False})))
    assert came == "fail"
    assert "osprey-server init" in text


def test_a_server_that_answers_is_well_and_a_stranger_is_not(settings: ServerSettings, tiny_release: Release) -> None:
    with running_server(settings.data, tiny_release) as address:
        running = settings.model_copy(update={"listen": address})
        assert doctor.check_address(running).seen.endswith("a server answers")
        strange = running.model_copy(update={"insecure": False})
        assert doctor.check_address(strange).verdict == "fail"
