"""A picture of search results: a query at the left of each line, what was found beside it, best first.

Green borders are right, red ones wrong, the query's is white. The picture shows people: it goes to the file asked for
and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from reid.files import write_atomic
from reid.metrics import Labels
from reid.types import FloatArray, IntArray, UInt8Array
from train.errors import DatasetError
from train.evaluate import Evaluation

NUM_LINES = 12
NUM_FOUND = 10
_BORDER_PX = 6
_GAP_PX = 8
_WHITE, _GREEN, _RED = (255, 255, 255), (60, 180, 60), (50, 50, 220)


def draw_gallery_sheet(path: Path, done: Evaluation, *, num_lines: int = NUM_LINES, num_found: int = NUM_FOUND) -> None:
    """Draw the results of queries spread evenly over all that have a match.

    Args:
        path: A .png file; replaced if it is there.
        done: The search.
        num_lines: Queries shown, at most.
        num_found: Results shown of each, at most.

    Raises:
        DatasetError: The name does not end in .png.
        OSError: The file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise DatasetError(f"a gallery sheet is a PNG picture: name it {path.with_suffix('.png')}, not {path}")
    query, gallery = done.query.labels, done.gallery.labels
    matched = queries_with_match(query, gallery)
    places = np.unique(np.linspace(0, len(matched) - 1, min(num_lines, len(matched))).round().astype(int))
    lines = [_line(done, int(matched[place]), query, gallery, num_found) for place in places]
    _, png = cv2.imencode(".png", np.concatenate(lines))
    write_atomic(path, png.tobytes())


def queries_with_match(query: Labels, gallery: Labels) -> IntArray:
    """Rows of the queries whose identity is in the gallery under another camera, ascending."""
    views = set(zip(gallery.pids.tolist(), gallery.camids.tolist(), strict=True))
    cameras: dict[int, set[int]] = {}
    for pid, camid in views:
        cameras.setdefault(pid, set()).add(camid)
    asked = zip(query.pids.tolist(), query.camids.tolist(), strict=True)
    return np.array([row for row, (pid, camid) in enumerate(asked) if cameras.get(pid, set()) - {camid}], dtype=int)


def found_rows(similarities_G: FloatArray, query: Labels, row: int, gallery: Labels, *, count: int) -> IntArray:
    """The gallery rows nearest to one query, best first; the query's identity under its own camera is left out."""
    order = np.argsort(-similarities_G, kind="stable")
    is_own_view = (gallery.pids[order] == query.pids[row]) & (gallery.camids[order] == query.camids[row])
    found: IntArray = order[~is_own_view][:count]
    return found


def _line(done: Evaluation, row: int, query: Labels, gallery: Labels, num_found: int) -> UInt8Array:
    found = found_rows(done.similarities_of(slice(row, row + 1))[0], query, row, gallery, count=num_found)
    tiles = [_tile(done.query.crop(row), _WHITE)]
    tiles += [_tile(done.gallery.crop(g), _GREEN if gallery.pids[g] == query.pids[row] else _RED) for g in found]
    tiles += [np.zeros_like(tiles[0])] * (1 + num_found - len(tiles))
    return np.concatenate(tiles, axis=1)


def _tile(crop: UInt8Array, colour: tuple[int, int, int]) -> UInt8Array:
    edges = (_BORDER_PX,) * 4
    framed = cv2.copyMakeBorder(crop, *edges, cv2.BORDER_CONSTANT, value=colour)
    gaps = (0, _GAP_PX, 0, _GAP_PX)
    return np.asarray(cv2.copyMakeBorder(framed, *gaps, cv2.BORDER_CONSTANT, value=(0, 0, 0)), dtype=np.uint8)
