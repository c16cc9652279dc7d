from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from fakes_running import running_server

from reid.release import Release
from server.client import SearchClient
from server.errors import UnreachableError


def test_a_server_that_is_down_is_named_with_the_way_out() -> None:
    with (
        SearchClient("127.0.0.1:1", timeout_s=5) as client,
        pytest.raises(UnreachableError, match=r"no answer from a server at 127\.0\.0\.1:1 .*osprey-server run"),
    ):
        client.status()
    with SearchClient("127.0.0.1:1", timeout_s=5) as client, pytest.raises(UnreachableError):
        list(client.iter_tracklets())


def test_a_server_whose_records_fail_says_so(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address, SearchClient(address) as client:
        with sqlite3.connect(tmp_path / "data" / "records.db") as records:
            records.execute("DROP TABLE observations")
            records.execute("DROP TABLE tracklets")
        with pytest.raises(UnreachableError, match="unavailable: records: totals failed: no such table"):
            client.status()
