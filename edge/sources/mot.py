"""MOT sequences: `seqinfo.ini`, numbered pictures, and the boxes of `det/det.txt`.

A line of det.txt is `frame,id,left,top,width,height,score,…`; frames count from 1, pixels of the full frame.
"""

from __future__ import annotations

import configparser
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge.errors import SourceError
from edge.frames import Frame
from edge.sources.images import list_pictures, read_picture
from reid.detector import Detections

_SEQINFO = "seqinfo.ini"


def is_mot_sequence(path: Path) -> bool:
    """True for a folder that has a `seqinfo.ini`."""
    return (path / _SEQINFO).is_file()


class MotSequenceSource:
    """Reads a MOT sequence; its detections, if there are any, come as `Frame.truth`.

    Args:
        folder: The sequence.
        start_time_us: Time of its frame number 1.

    Raises:
        SourceError: seqinfo.ini, the pictures or det.txt are missing or malformed.
    """

    is_live = False

    def __init__(self, folder: Path, *, start_time_us: int) -> None:
        self._start_time_us = start_time_us
        self.frame_rate_hz, pictures = _read_seqinfo(folder / _SEQINFO)
        self._frames = [(_number_of(path), path) for path in list_pictures(folder / pictures)]
        self._position = 0
        boxes = folder / "det" / "det.txt"
        self._boxes = read_mot_boxes(boxes) if boxes.is_file() else None

    def read(self) -> Frame | None:
        """See `FrameSource.read`."""
        if self._position >= len(self._frames):
            return None
        number, path = self._frames[self._position]
        self._position += 1
        time_us = self._start_time_us + round((number - 1) * 1e6 / self.frame_rate_hz)
        truth = None if self._boxes is None else self._boxes.get(number, Detections.none())
        return Frame(read_picture(path), time_us, number - 1, truth)

    def close(self) -> None:
        """See `FrameSource.close`."""


def read_mot_boxes(path: Path) -> Mapping[int, Detections]:
    """Read a MOT `det.txt`.

    Scores outside [0, 1] (some detectors write margins) are cut to it.

    Returns:
        Detections by frame number, from 1, best score first.

    Raises:
        SourceError: The file cannot be read, or a line is malformed; names the line.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read MOT boxes {path}: {error}") from None
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            frame, row = _parse_line(line, place=f"{path}:{number}")
            rows[frame].append(row)
    return {frame: _detections(found) for frame, found in rows.items()}


def _parse_line(line: str, *, place: str) -> tuple[int, tuple[float, ...]]:
    try:
        frame, _, left, top, width, height, score = map(float, line.split(",")[:7])
    except ValueError:
        raise SourceError(f"{place}: wanted frame,id,left,top,width,height,score, came {line[:80]!r}") from None
    row = (left, top, left + width, top + height, score)
    if not all(map(math.isfinite, (frame, *row))) or width <= 0 or height <= 0:
        raise SourceError(f"{place}: a box needs finite numbers and a positive size, came {line[:80]!r}")
    return int(frame), row


def _detections(rows: list[tuple[float, ...]]) -> Detections:
    table = np.array(rows, dtype=np.float32)
    table = table[np.argsort(-table[:, 4], kind="stable")]
    return Detections(table[:, :4], np.asarray(np.clip(table[:, 4], 0.0, 1.0), dtype=np.float32))


def _read_seqinfo(path: Path) -> tuple[float, str]:
    """Frame rate and name of the picture folder."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        rate_hz = parser.getfloat("Sequence", "frameRate")
        pictures = parser.get("Sequence", "imDir", fallback="img1")
    except (OSError, ValueError, configparser.Error) as error:
        raise SourceError(f"{path} is no MOT sequence info: {error}") from None
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise SourceError(f"{path}: frameRate is {rate_hz}, wanted a positive number")
    return rate_hz, pictures


def _number_of(path: Path) -> int:
    if not path.stem.isdecimal() or int(path.stem) < 1:
        raise SourceError(f"{path}: pictures of a MOT sequence are named by their frame number, from 1")
    return int(path.stem)
