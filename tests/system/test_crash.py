"""Promise: what was acknowledged under load is stored once, and persons keep their ids, when the server is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import crash
from benchmarks.instruments.postgresql import PostgresqlMissingError, start_postgresql

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of an empty database; nothing for the server's default."""
    if request.param == "sqlite":
        yield ""
        return
    try:
        with start_postgresql() as server:
            yield server.new_database()
    except PostgresqlMissingError as error:
        pytest.skip(str(error))


def test_a_server_killed_again_and_again_loses_repeats_and_renames_nothing(url: str, tmp_path: Path) -> None:
    words = ["--rounds", "2", "--edges", "4", "--url", url, "--json"]
    figures = crash.run_rounds(tmp_path / "data", crash.parse(words))
    assert figures["acknowledged"] > 0, json.dumps(figures)
    assert (figures["lost"], figures["duplicated"], figures["renamed"]) == (0, 0, 0)
