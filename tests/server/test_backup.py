from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from fakes_records import SPOOL, fill, owners

from server.errors import StorageError
from server.storage.backup import back_up, restore
from server.storage.database import StorageSettings, lock_folder, open_database
from server.storage.lease import Lease
from server.storage.records import Changes
from server.storage.sql import SqlRecords
from server.types import SpoolState

SQLITE = StorageSettings()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with the records of two persons."""
    data = tmp_path / "data"
    data.mkdir()
    records = SqlRecords(open_database(SQLITE, data=data))
    fill(records, {1: 1, 2: 2})
    records.close()
    return data


def read_owners(data: Path) -> dict[int, int]:
    records = SqlRecords(open_database(SQLITE, data=data))
    found = owners(records)
    records.close()
    return found


def test_a_backup_restored_elsewhere_has_everything(data: Path, tmp_path: Path) -> None:
    num_bytes = back_up(SQLITE, data=data, out=tmp_path / "copy.db")
    restore(SQLITE, data=tmp_path / "new", source=tmp_path / "copy.db", is_forced=False)
    assert num_bytes == (tmp_path / "copy.db").stat().st_size
    assert read_owners(tmp_path / "new") == {1: 1, 2: 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data", "new"]


def test_a_backup_is_consistent_while_the_server_writes(data: Path, tmp_path: Path) -> None:
    records = SqlRecords(open_database(SQLITE, data=data))
    is_done = threading.Event()

    def write() -> None:
        for number in range(3, 500):
            state = SpoolState(spool_key=1, acked_seq=number, num_observations=number)
            records.commit(Changes(time_us=1, changed_spools={SPOOL: state}, new_persons=[number]))
            if is_done.is_set():
                break

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(5):
        back_up(SQLITE, data=data, out=tmp_path / "copy.db")
    is_done.set()
    thread.join()
    records.close()
    restore(SQLITE, data=tmp_path / "new", source=tmp_path / "copy.db", is_forced=False)
    copy = SqlRecords(open_database(SQLITE, data=tmp_path / "new"))
    directory = copy.read_directory()
    assert directory.spools[SPOOL].acked_seq == directory.next_person_id - 1 >= 2
    copy.close()


def test_a_restored_backup_need_not_wait_for_the_lease_it_was_taken_under(data: Path, tmp_path: Path) -> None:
    engine = open_database(SQLITE, data=data)
    Lease(engine, holder="running", duration_s=60, clock_us=lambda: 10**15).take()
    engine.dispose()
    back_up(SQLITE, data=data, out=tmp_path / "copy.db")
    restore(SQLITE, data=tmp_path / "new", source=tmp_path / "copy.db", is_forced=False)
    copy = open_database(SQLITE, data=tmp_path / "new")
    Lease(copy, holder="other", duration_s=60, clock_us=lambda: 10**15, sleep=pytest.fail).take()
    copy.dispose()


def test_records_are_replaced_only_by_force_and_whole(data: Path, tmp_path: Path) -> None:
    back_up(SQLITE, data=data, out=tmp_path / "copy.db")
    killed = SqlRecords(open_database(SQLITE, data=data))  # leaves its log behind, as after kill -9
    killed.commit(Changes(time_us=1, new_persons=[99]))
    with pytest.raises(StorageError, match="has records: give --force"):
        restore(SQLITE, data=data, source=tmp_path / "copy.db", is_forced=False)
    restore(SQLITE, data=data, source=tmp_path / "copy.db", is_forced=True)
    killed.close()
    again = SqlRecords(open_database(SQLITE, data=data))
    assert again.read_directory().next_person_id == 3
    again.close()


def test_nothing_is_restored_under_a_running_server(data: Path, tmp_path: Path) -> None:
    back_up(SQLITE, data=data, out=tmp_path / "copy.db")
    with lock_folder(data), pytest.raises(StorageError, match="in use by another osprey-server"):
        restore(SQLITE, data=data, source=tmp_path / "copy.db", is_forced=True)


def test_a_damaged_backup_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(SQLITE, data=data, out=copy)
    content = bytearray(copy.read_bytes())
    content[5000:9000] = b"\xff" * 4000
    copy.write_bytes(content)
    with pytest.raises(StorageError, match=r"records at .*copy\.db (are damaged|cannot be copied)"):
        restore(SQLITE, data=data, source=copy, is_forced=True)
    assert read_owners(data) == {1: 1, 2: 2}


def test_a_backup_of_a_newer_server_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(SQLITE, data=data, out=copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="schema version 9999, this program knows up to 0005"):
        restore(SQLITE, data=tmp_path / "new", source=copy, is_forced=False)


@pytest.mark.parametrize("url", ["postgresql://ann:secret@db/osprey", "postgresql+psycopg://ann:secret@db/osprey"])
def test_postgresql_has_its_own_tools(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="pg_dump") as caught:
        back_up(StorageSettings(url=url), data=tmp_path, out=tmp_path / "copy")
    assert "secret" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no records at .*records\.db"):
        back_up(SQLITE, data=tmp_path, out=tmp_path / "copy")
    with pytest.raises(StorageError, match="no backup at"):
        restore(SQLITE, data=tmp_path, source=tmp_path / "copy", is_forced=False)
    assert list(tmp_path.iterdir()) == []
