from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fakes_stream import ServerParts, batch, observation
from sqlalchemy import text

from server.errors import StorageError
from server.storage.database import StorageSettings, lock_folder, open_database
from server.storage.schema import metadata


def test_migrations_make_exactly_the_tables_that_the_code_queries(parts: ServerParts) -> None:
    with parts.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


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
    with pytest.raises(StorageError, match=r"schema version 9999, this server knows up to 0002.*newer"):
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


def test_records_of_the_first_schema_are_migrated(parts: ServerParts) -> None:
    parts.ingest.step([batch(1, observation())])
    with parts.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_tracklets_camera_key_end_us"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    again = parts.reopen()
    assert again.summaries.totals().num_observations == 1
    with again.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://x"])
def test_a_wrong_url_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=rf"storage.url '{url}' cannot be used"):
        open_database(StorageSettings(url=url), data=tmp_path)


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
