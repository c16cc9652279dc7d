from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_stream import ServerParts, open_parts
from sqlalchemy import Engine

from benchmarks.instruments.postgresql import Postgresql, PostgresqlMissingError, start_postgresql
from server.storage.database import StorageSettings, open_database


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServerParts]:
    yield from open_parts(tmp_path)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    try:
        with start_postgresql() as server:
            yield server
    except PostgresqlMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> StorageSettings:
    """Settings of a new database, of each kind in turn."""
    if request.param == "sqlite":
        return StorageSettings()
    server: Postgresql = request.getfixturevalue("postgresql")
    return StorageSettings(url=server.new_database())


@pytest.fixture
def engine(storage: StorageSettings, tmp_path: Path) -> Iterator[Engine]:
    """An open, empty database of each kind in turn."""
    engine = open_database(storage, data=tmp_path)
    yield engine
    engine.dispose()
