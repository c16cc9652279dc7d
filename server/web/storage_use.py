"""How much room the site takes on the disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from server.storage.database import sqlite_path

_FOLDERS = ("crops", "adaptation", "releases")


@dataclass(frozen=True, kw_only=True)
class StorageUse:
    """Room taken, bytes.

    Attributes:
        database: Of SQLite with its log; 0 for another database.
        folders: Of the folders within the data folder, by name.
        free: Left on the disk of the data folder.
    """

    database: int
    folders: dict[str, int]
    free: int


def storage_use(data: Path, engine: Engine) -> StorageUse:
    """Look. Takes as long as there are many files.

    Raises:
        OSError: The data folder is gone.
    """
    path = sqlite_path(engine)
    files = [path, path.with_name(f"{path.name}-wal")] if path else []
    return StorageUse(
        database=sum(file.stat().st_size for file in files if file.exists()),
        folders={name: _folder_bytes(data / name) for name in _FOLDERS},
        free=shutil.disk_usage(data).free,
    )


def _folder_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return total
