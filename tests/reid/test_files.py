from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reid import files
from reid.files import sha256_of, write_atomic, write_folder_atomic, write_json_atomic


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"a longer old content")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_ends_with_a_newline(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"b": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1\n}\n'


def test_sha256_of_a_file_larger_than_one_chunk(tmp_path: Path) -> None:
    content = b"0123456789abcdef" * 100_000
    (tmp_path / "big").write_bytes(content)
    assert sha256_of(tmp_path / "big") == hashlib.sha256(content).hexdigest()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with write_folder_atomic(tmp_path / "release") as folder:
        (folder / "model").write_text("new")
        assert not (tmp_path / "release").exists()
    assert (tmp_path / "release" / "model").read_text() == "new"
    assert names(tmp_path) == ["release"]


def test_a_folder_whose_writer_fails_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_folder_atomic(tmp_path / "release") as folder:
        (folder / "gone" / "model").write_text("half")
    assert names(tmp_path) == []


def test_a_folder_with_content_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "older").write_text("kept")
    with pytest.raises(OSError, match="not empty"), write_folder_atomic(tmp_path / "release"):
        pass
    assert names(tmp_path / "release") == ["older"]
    with write_folder_atomic(tmp_path / "release", replace=True) as folder:
        (folder / "newer").write_text("new")
    assert (names(tmp_path), names(tmp_path / "release")) == (["release"], ["newer"])


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "release").write_text("a file")
    with pytest.raises(NotADirectoryError), write_folder_atomic(tmp_path / "release", replace=True):
        pass
    assert (tmp_path / "release").read_text() == "a file"
