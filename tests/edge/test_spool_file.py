from __future__ import annotations

import sqlite3

import pytest

from edge.errors import SpoolError
from edge.spool_file import open_spool_file


def test_every_commit_is_durable(tmp_path):
    connection = open_spool_file(tmp_path / "edge.spool")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


def test_folder_of_the_file_is_made(tmp_path):
    open_spool_file(tmp_path / "var" / "lib" / "edge.spool").close()
    assert (tmp_path / "var" / "lib" / "edge.spool").is_file()


def test_format_of_another_version_is_refused_and_kept(tmp_path):
    path = tmp_path / "edge.spool"
    open_spool_file(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(SpoolError, match="has format 7, this agent reads format 1"):
        open_spool_file(path)
    assert path.is_file()


def test_damaged_files_get_different_names(tmp_path):
    path = tmp_path / "edge.spool"
    for content in (b"first " * 100, b"second " * 100):
        path.write_bytes(content)
        open_spool_file(path).close()
        path.unlink()
    assert (tmp_path / "edge.spool.damaged-1").read_bytes().startswith(b"first")
    assert (tmp_path / "edge.spool.damaged-2").read_bytes().startswith(b"second")
