"""Files and folders that appear whole or not at all. The only module that replaces them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_HASH_CHUNK_BYTES = 1 << 20


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a power loss, finds either the old content or the new one, whole.

    Args:
        path: The file.
        content: All of it.
        mode: Permissions; nobody else can read a secret (0o600) at any moment.

    Raises:
        OSError: The folder is missing or the disk is full; the old file is then intact and no temporary file is left.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def fill_atomic(path: Path) -> Iterator[Path]:
    """Fill a file that appears whole, in the place of an old one, when the block ends; or not at all when it raises.

    Yields:
        An empty temporary file beside `path`, to be written; for what is too large for `write_atomic`.

    Raises:
        OSError: The folder is missing or the disk is full; the old file is then intact.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        yield temporary
        os.fsync(handle)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    sync_folder(path.parent)


def write_json_atomic(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with `write_atomic`."""
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def write_folder_atomic(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Fill a folder that appears whole when the block ends, or not at all when it raises.

    Args:
        path: Where the folder shall appear; its parent must exist.
        replace: Put it in the place of a folder with content, which is then removed; an empty one always gives way.

    Yields:
        A temporary folder beside `path`, to be filled.

    Raises:
        OSError: The parent is missing, or `path` is a file, or has content and `replace` is not given; what was there
            is intact and no temporary folder is left.
    """
    path = path.resolve()  # so that "." and links to folders have a name and a parent
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        temporary.chmod(0o755)
        yield temporary
        sync_folder(temporary)
        if replace and path.is_dir():
            _swap_folders(temporary, path)
        else:
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _swap_folders(new: Path, path: Path) -> None:
    # Two renames: for an instant nothing is at `path`, but never a mixture of old and new.
    old = new.with_name(f"{new.name}.old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)
