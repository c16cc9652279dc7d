from __future__ import annotations

from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fakes_stream import SPACES, ServerParts, batch, observation
from sqlalchemy import Engine, create_engine, text

import server.storage.migrations
from benchmarks.instruments.postgresql import Postgresql
from server.errors import StorageError
from server.storage.database import StorageSettings, lock_folder, open_database, read_database
from server.storage.records import Changes
from server.storage.schema import metadata
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.types import Totals


def test_commits_survive_a_power_cut(parts: ServerParts) -> None:
    with parts.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


def test_opening_again_keeps_everything(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation())])
    assert parts.reopen().summaries.totals().num_observations == 1


def test_records_of_a_newer_server_are_refused_with_both_versions(tmp_path: Path) -> None:
    engine = open_database(StorageSettings(), data=tmp_path)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StorageError, match=r"schema version 9999, this server knows up to 0005.*newer"):
        open_database(StorageSettings(), data=tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match=r"records at .*records\.db cannot be opened: file is not a database"):
        open_database(StorageSettings(), data=tmp_path)


def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    data = tmp_path / "50% of a?b=c#d"
    data.mkdir()
    open_database(StorageSettings(), data=data).dispose()
    assert (data / "records.db").is_file()


def old_records(data: Path, *, revision: str) -> None:
    """Records of an older server, with one of everything that it had."""
    engine = create_engine(f"sqlite:///{data}/records.db")
    with engine.begin() as connection:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(Path(server.storage.migrations.__file__).parent))
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
        for statement in (
            "INSERT INTO spools VALUES (1, 'edge1', 'spool1', 1, 1, 5)",
            "INSERT INTO cameras VALUES (1, 'edge1', 'cam1')",
            "INSERT INTO persons VALUES (1, 5, NULL), (2, 5, 1)",
            "INSERT INTO tracklets VALUES (1, 1, 7, 'tiny-1-0', 1, 5, 6, 1, 1.0, zeroblob(32), 1, 9)",
            "INSERT INTO observations VALUES (1, 1, 1, 5, 0, 0, 1, 1, 1.0, zeroblob(16))",
        ):
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_records_of_an_older_schema_are_migrated_and_whole(revision: str, tmp_path: Path) -> None:
    old_records(tmp_path, revision=revision)
    engine = open_database(StorageSettings(), data=tmp_path)
    assert SqlSummaries(engine).totals() == Totals(num_observations=1, num_tracklets=1, num_persons=1)
    assert SqlRecords(engine).read_directory().next_person_id == 3
    (found,) = SqlRecords(engine).iter_tracklets(SPACES)
    assert (found.person_id, found.is_closed, found.updated_us) == (1, True, 9)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://x"])
def test_a_wrong_url_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=rf"storage.url '{url}' cannot be used"):
        open_database(StorageSettings(url=url), data=tmp_path)


@pytest.mark.parametrize(
    "url",
    ["postgresql//ann:secret@db/x", "postgresql://ann:secret@db:port/x", "nosuchdatabase://ann:secret@db/x"],
    ids=["no-colon", "no-port", "no-such-database"],
)
def test_a_password_in_a_wrong_url_is_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"storage.url .*\*\*\*@db.* cannot be used") as caught:
        open_database(StorageSettings(url=url), data=tmp_path)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    settings = StorageSettings(url="postgresql://ann:secret@127.0.0.1:1/x")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/x cannot be opened: connection") as caught:
        open_database(settings, data=tmp_path)
    assert "secret" not in str(caught.value)


def test_commits_to_postgresql_survive_a_power_cut(postgresql: Postgresql, tmp_path: Path) -> None:
    engine = open_database(StorageSettings(url=postgresql.new_database(), busy_timeout_s=2), data=tmp_path)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        connection.rollback()
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "2s"
    engine.dispose()


def test_migrations_make_the_same_tables_in_every_database(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_reading_needs_the_schema_of_this_version(tmp_path: Path) -> None:
    old_records(tmp_path, revision="0002")
    with pytest.raises(StorageError, match=r"schema version 0002, this program reads 0005: start this version"):
        read_database(StorageSettings(), data=tmp_path)


def test_what_is_opened_to_read_cannot_be_written(tmp_path: Path) -> None:
    open_database(StorageSettings(), data=tmp_path).dispose()
    engine = read_database(StorageSettings(), data=tmp_path)
    with pytest.raises(StorageError, match="readonly"):
        SqlRecords(engine).commit(Changes(time_us=1, new_persons=[1]))
    engine.dispose()


def test_a_data_folder_has_one_owner(tmp_path: Path) -> None:
    with (
        lock_folder(tmp_path / "data"),
        pytest.raises(StorageError, match="in use by another osprey-server"),
    ):
        lock_folder(tmp_path / "data")
    lock_folder(tmp_path / "data").close()


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"data folder .*file/data cannot be used: Not a directory"):
        lock_folder(tmp_path / "file" / "data")


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    lock_folder(tmp_path / "data").close()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
