"""Folders of pictures whose names say who, where and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from train.datasets.samples import ReidSample
from train.errors import DatasetError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def require_folder(folder: Path) -> Path:
    """The folder, if it is one.

    Raises:
        DatasetError: It does not exist.
    """
    if not folder.is_dir():
        raise DatasetError(f"data folder {folder} does not exist")
    return folder


def first_folder(root: Path, *names: str) -> Path:
    """The first of the folders `root / name` that exists.

    Raises:
        DatasetError: None does.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DatasetError(f"data folder {root} holds no folder {' or '.join(names)}")


def read_pictures(
    folder: Path, parse: Callable[[Path], ReidSample], *, suffix: str = ".jpg", pattern: str = "*"
) -> tuple[ReidSample, ...]:
    """Read the names of a folder's pictures, sorted; files with another ending are left alone.

    Args:
        folder: Where the pictures are.
        parse: Name to sample; raises DatasetError for a name of another form.
        suffix: Ending of the pictures.
        pattern: Glob up to the ending; "*/*" for pictures one folder deeper.

    Raises:
        DatasetError: The folder is missing or has no such picture, or a name has another form.
    """
    samples = tuple(parse(path) for path in sorted(require_folder(folder).glob(f"{pattern}{suffix}")))
    if not samples:
        raise DatasetError(f"data folder {folder} holds no {suffix} file")
    return samples
