r"""Any folder of pictures, at any depth, without labels: a site's own crops, to adapt on.

The first sub-folder names the camera; pictures that lie in none are of one camera of their own. A pattern for names
says more: a regular expression with any of the groups `camera`, `track` and `frame`, searched in the path below the
folder, as in r"(?P<camera>cam\d+)_t(?P<track>\d+)_f(?P<frame>\d+)". Cameras and tracks are numbered in the order of
their sorted names. Without a `track` every picture is a tracklet of its own, so that nothing is taken for one person
that nobody has seen to be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from train.datasets.pictures import PICTURE_SUFFIXES, require_folder
from train.datasets.samples import UNLABELLED_PID, ReidSample, Split
from train.errors import DatasetError

_GROUPS = ("camera", "track", "frame")


class _Place(NamedTuple):
    """What a picture's path says."""

    camera: str
    track: str
    frame: int


def read_folder(root: Path, name_pattern: str = "") -> Split:
    """Read every picture below a folder as an unlabelled training sample; hidden files are left alone.

    Args:
        root: The folder.
        name_pattern: Regular expression for the path below `root`, with forward slashes; empty for none.

    Raises:
        DatasetError: The folder is missing or holds no picture, the pattern is wrong, or a path does not fit it.
    """
    pattern = _compile(name_pattern)
    paths = [path for path in sorted(require_folder(root).rglob("*")) if _is_picture(path, root)]
    if not paths:
        raise DatasetError(f"data folder {root} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    places = [_place_of(path.relative_to(root), pattern) for path in paths]
    camids = _numbers(place.camera for place in places)
    tracks = _numbers(place.track for place in places)
    samples = (
        ReidSample(path, UNLABELLED_PID, camids[place.camera], tracks[place.track], place.frame)
        for path, place in zip(paths, places, strict=True)
    )
    return Split(train=tuple(samples), query=(), gallery=())


def _compile(name_pattern: str) -> re.Pattern[str] | None:
    if not name_pattern:
        return None
    try:
        pattern = re.compile(name_pattern)
    except re.error as error:
        raise DatasetError(f"pattern for names '{name_pattern}' is no regular expression: {error}") from None
    if not pattern.groupindex or any(group not in _GROUPS for group in pattern.groupindex):
        raise DatasetError(f"pattern for names '{name_pattern}': wanted named groups out of {', '.join(_GROUPS)}")
    return pattern


def _is_picture(path: Path, root: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden and path.is_file()


def _place_of(path: Path, pattern: re.Pattern[str] | None) -> _Place:
    name = path.as_posix()
    said: dict[str, str | None] = {}
    if pattern is not None:
        match = pattern.search(name)
        if match is None:
            raise DatasetError(f"{name}: does not fit the pattern for names '{pattern.pattern}'")
        said = match.groupdict()
    frame = said.get("frame") or "0"
    if not frame.isdecimal():
        raise DatasetError(f"{name}: frame '{frame}' is not a number; correct the pattern for names")
    return _Place(
        camera=said.get("camera") or (path.parts[0] if len(path.parts) > 1 else ""),
        track=said.get("track") or f"picture {name}",
        frame=int(frame),
    )


def _numbers(names: Iterable[str]) -> dict[str, int]:
    """Numbers from 1, in the order of the sorted names."""
    return {name: number for number, name in enumerate(sorted(set(names)), start=1)}
