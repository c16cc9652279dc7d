"""Market-1501's training part as six videos: its crops in their places of time, as MOT sequences that an edge reads.

The data set keeps about one crop of a person in 25 frames. Between two crops of one person in one camera that lie less
than `_MOST_GAP_FRAMES` apart the former one stays in the picture, as a slow shutter would have it; frames without
anybody are left out. Each person stands in a place of their own until they are gone, and the place stays empty for a
while then, so that a tracker which follows boxes takes nobody for their successor. Labels go into nothing but that:
they stand in for the cuts of the data set's own tracker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reid.preprocess import read_image
from reid.types import UInt8Array
from train.datasets.samples import ReidSample

FRAME_RATE_HZ = 25
STEP_FRAMES = 5
"""Every so many frames there is a picture: five a second."""
_MOST_GAP_FRAMES = 100
_LINGER_FRAMES = 2 * STEP_FRAMES
"""The last crop stays so long: an edge sends nothing of a person seen less than three times."""
_SEQUENCE_FRAMES = 1_000_000
"""More than any recording has; the next recording begins there."""
_NUM_PLACES = 16
_PLACE_PX = (64, 128)
_MARGIN_PX = 16


@dataclass(frozen=True)
class _Showing:
    """A crop in the picture, from one frame until before another."""

    start: int
    end: int
    place: int
    path: Path


def write_videos(samples: Sequence[ReidSample], folder: Path) -> dict[int, Path]:
    """Write one MOT sequence for each camera.

    Args:
        samples: Crops of Market-1501.
        folder: For the sequences; made when missing.

    Returns:
        The sequence of each camera.
    """
    by_camera: dict[int, list[ReidSample]] = defaultdict(list)
    for sample in samples:
        by_camera[sample.camid].append(sample)
    videos: dict[int, Path] = {}
    for camid, taken in sorted(by_camera.items()):
        videos[camid] = folder / f"c{camid}"
        _write_video(_showings(taken), videos[camid])
    return videos


def parts_in_time(samples: Sequence[ReidSample], num_parts: int) -> list[list[ReidSample]]:
    """Cut recordings into parts of about as many crops, one after another in time, camera by camera."""
    parts: list[list[ReidSample]] = [[] for _ in range(num_parts)]
    by_camera: dict[int, list[ReidSample]] = defaultdict(list)
    for sample in samples:
        by_camera[sample.camid].append(sample)
    for taken in by_camera.values():
        taken.sort(key=lambda sample: (_moment(sample), sample.path.name))
        for number, rows in enumerate(np.array_split(np.arange(len(taken)), num_parts)):
            parts[number] += [taken[row] for row in rows]
    return parts


def _moment(sample: ReidSample) -> int:
    return sample.sequence * _SEQUENCE_FRAMES + sample.frame


def _showings(samples: Sequence[ReidSample]) -> list[_Showing]:
    """Crops of one camera with their times and places."""
    by_person: dict[int, list[ReidSample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: (_moment(sample), sample.path.name)):
        by_person[sample.pid].append(sample)
    spans = sorted((span for taken in by_person.values() for span in _spans(taken)), key=lambda span: span[0][0])
    showings: list[_Showing] = []
    free_from = [0] * _NUM_PLACES
    for span in spans:
        place = min(range(_NUM_PLACES), key=free_from.__getitem__)
        free_from[place] = span[-1][1]
        showings += [_Showing(start, end, place, path) for start, end, path in span]
    return showings


def _spans(taken: Sequence[ReidSample]) -> Iterator[list[tuple[int, int, Path]]]:
    """Crops of one person in one camera, cut where they are long away: (start, end, picture) of each."""
    span: list[tuple[int, int, Path]] = []
    for sample in taken:
        moment = _moment(sample)
        if span and moment - span[-1][0] > _MOST_GAP_FRAMES:
            yield span
            span = []
        if span:
            span[-1] = (span[-1][0], moment, span[-1][2])
        span.append((moment, moment + STEP_FRAMES + _LINGER_FRAMES, sample.path))
    if span:
        yield span


def _write_video(showings: Sequence[_Showing], folder: Path) -> None:
    pictures = folder / "img1"
    pictures.mkdir(parents=True, exist_ok=True)
    (folder / "det").mkdir(exist_ok=True)
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nframeRate={FRAME_RATE_HZ}\nimDir=img1\n", encoding="utf-8")
    lines: list[str] = []
    for number, shown in sorted(_by_picture(showings).items()):
        # Quality 97: a crop shall not suffer from being shown.
        cv2.imwrite(str(pictures / f"{number}.jpg"), _picture(shown), [cv2.IMWRITE_JPEG_QUALITY, 97])
        for place in shown:
            left, top = _corner(place)
            lines.append(f"{number},-1,{left},{top},{_PLACE_PX[0]},{_PLACE_PX[1]},1")
    (folder / "det" / "det.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


def _by_picture(showings: Sequence[_Showing]) -> dict[int, dict[int, Path]]:
    """What stands where, by the number of the picture; numbers count frames from 1."""
    pictures: dict[int, dict[int, Path]] = defaultdict(dict)
    for showing in showings:
        first = -(-showing.start // STEP_FRAMES)
        for step in range(first, max(first + 1, -(-showing.end // STEP_FRAMES))):
            pictures[step * STEP_FRAMES + 1][showing.place] = showing.path
    return pictures


def _picture(shown: Mapping[int, Path]) -> UInt8Array:
    width, height = _PLACE_PX
    image = np.full((height + 2 * _MARGIN_PX, _NUM_PLACES * (width + _MARGIN_PX) + _MARGIN_PX, 3), 96, dtype=np.uint8)
    for place, path in shown.items():
        left, top = _corner(place)
        image[top : top + height, left : left + width] = read_image(path)
    return image


def _corner(place: int) -> tuple[int, int]:
    return _MARGIN_PX + place * (_PLACE_PX[0] + _MARGIN_PX), _MARGIN_PX
