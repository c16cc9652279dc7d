"""Folders of pictures, played as a video in the order of their names."""

from __future__ import annotations

import re
from pathlib import Path

from edge.errors import BrokenFrameError, SourceError
from edge.frames import Frame
from reid.errors import ImageError
from reid.preprocess import read_image
from reid.types import UInt8Array

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

FOLDER_RATE_HZ = 10.0
"""Pace of a folder, which does not say its own."""


class ImageFolderSource:
    """Reads the pictures of a folder.

    Args:
        folder: Holds the pictures; other files are passed over.
        start_time_us: Time of the first picture.

    Raises:
        SourceError: The folder is missing or holds no picture.
    """

    is_live = False
    frame_rate_hz = FOLDER_RATE_HZ

    def __init__(self, folder: Path, *, start_time_us: int) -> None:
        self._start_time_us = start_time_us
        self._paths = list_pictures(folder)
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`."""
        if self._next_index >= len(self._paths):
            return None
        index, self._next_index = self._next_index, self._next_index + 1
        time_us = self._start_time_us + round(index * 1e6 / self.frame_rate_hz)
        return Frame(read_picture(self._paths[index]), time_us, index)

    def close(self) -> None:
        """See `FrameSource.close`."""


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order of the numbers and words in their names: 2.jpg before 10.jpg.

    Raises:
        SourceError: The folder cannot be read or holds no picture.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    except OSError as error:
        raise SourceError(f"cannot list pictures in {folder}: {error.strerror}") from None
    if not paths:
        raise SourceError(f"no pictures in {folder}: wanted files ending in {', '.join(sorted(SUFFIXES))}")
    return sorted(paths, key=_natural_key)


def read_picture(path: Path) -> UInt8Array:
    """Read one picture.

    Raises:
        BrokenFrameError: It cannot be read; the others may be whole.
    """
    try:
        return read_image(path)
    except ImageError as error:
        raise BrokenFrameError(str(error)) from None


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], path.name
