"""The contact sheet: one row per person, one crop per camera, those seen by most cameras first.

Crops are files that edges wrote beside the camera, `{folder}/{camid}/{tracklet_id}.jpg`; the server holds none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reid.errors import ImageError
from reid.preprocess import read_image
from reid.types import UInt8Array
from server.types import TrackletSummary

_CELL_WIDTH_PX, _CELL_HEIGHT_PX = 96, 192
_LABEL_WIDTH_PX = 190
_HEADER_HEIGHT_PX = 44
_GAP_PX = 10
_PAPER, _EMPTY, _INK, _FAINT = (250, 250, 250), (236, 236, 236), (40, 40, 40), (130, 130, 130)  # BGR
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """One person of the sheet.

    Attributes:
        person_id: Who.
        num_tracklets: In all cameras.
        num_observations: In all cameras.
        crops: By camid; BGR uint8 pictures of any size.
    """

    person_id: int
    num_tracklets: int
    num_observations: int
    crops: Mapping[str, UInt8Array]


def collect_rows(tracklets: Iterable[TrackletSummary], folders: Sequence[Path], *, max_rows: int) -> list[SheetRow]:
    """Choose persons and read their crops: in each camera that of the longest tracklet which has a readable one.

    Args:
        tracklets: Of all persons.
        folders: Where edges wrote their crops; the first that has a file wins.
        max_rows: Most persons wanted.

    Returns:
        Persons of most cameras first, then of most observations; persons without any crop are left out.
    """
    by_person: defaultdict[int, list[TrackletSummary]] = defaultdict(list)
    for tracklet in tracklets:
        by_person[tracklet.person_id].append(tracklet)
    ranked = sorted(by_person.items(), key=lambda item: _rank(*item))
    rows: list[SheetRow] = []
    for person_id, members in ranked:
        if len(rows) >= max_rows:
            break
        if crops := _read_crops(members, folders):
            total = sum(tracklet.num_observations for tracklet in members)
            rows.append(SheetRow(person_id=person_id, num_tracklets=len(members), num_observations=total, crops=crops))
    return rows


def draw_sheet(rows: Sequence[SheetRow]) -> UInt8Array:
    """Draw the sheet.

    Returns:
        BGR uint8 picture; cameras are columns, in order of their names.
    """
    camids = sorted({camid for row in rows for camid in row.crops})
    width = _LABEL_WIDTH_PX + len(camids) * (_CELL_WIDTH_PX + _GAP_PX) + _GAP_PX
    height = _HEADER_HEIGHT_PX + len(rows) * (_CELL_HEIGHT_PX + _GAP_PX) + _GAP_PX
    sheet = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    _write(sheet, f"{len(rows)} persons", (_GAP_PX, 28), scale=0.55, colour=_INK)
    for column, camid in enumerate(camids):
        _write(sheet, camid, (_column_px(column), 28), scale=0.5, colour=_FAINT, most_px=_CELL_WIDTH_PX)
    for index, row in enumerate(rows):
        _draw_row(sheet, row, camids, top_px=_HEADER_HEIGHT_PX + index * (_CELL_HEIGHT_PX + _GAP_PX))
    return sheet


def _rank(person_id: int, members: Sequence[TrackletSummary]) -> tuple[int, int, int]:
    num_cameras = len({tracklet.camera.camid for tracklet in members})
    return -num_cameras, -sum(tracklet.num_observations for tracklet in members), person_id


def _read_crops(members: Sequence[TrackletSummary], folders: Sequence[Path]) -> dict[str, UInt8Array]:
    crops: dict[str, UInt8Array] = {}
    for tracklet in sorted(members, key=lambda member: (-member.num_observations, member.tracklet_id)):
        if tracklet.camera.camid not in crops:
            crop = _read_crop(tracklet, folders)
            if crop is not None:
                crops[tracklet.camera.camid] = crop
    return crops


def _read_crop(tracklet: TrackletSummary, folders: Sequence[Path]) -> UInt8Array | None:
    """The tracklet's crop, or None: an edge keeps crops for a while only, and may be writing this one."""
    for folder in folders:
        path = folder / tracklet.camera.camid / f"{tracklet.tracklet_id}.jpg"
        if path.is_file():
            try:
                return read_image(path)
            except ImageError:
                continue
    return None


def _draw_row(sheet: UInt8Array, row: SheetRow, camids: Sequence[str], *, top_px: int) -> None:
    cameras = f"{len(row.crops)} camera{'s' * (len(row.crops) != 1)}"
    tracklets = f"{row.num_tracklets} tracklet{'s' * (row.num_tracklets != 1)}"
    _write(sheet, f"person {row.person_id}", (_GAP_PX, top_px + 30), scale=0.65, colour=_INK)
    for line, text in enumerate((cameras, tracklets, f"{row.num_observations} views")):
        _write(sheet, text, (_GAP_PX, top_px + 58 + 22 * line), scale=0.45, colour=_FAINT)
    for column, camid in enumerate(camids):
        left_px = _column_px(column)
        cell = sheet[top_px : top_px + _CELL_HEIGHT_PX, left_px : left_px + _CELL_WIDTH_PX]
        cell[:] = _EMPTY
        if camid in row.crops:
            _fit(cell, row.crops[camid])


def _fit(cell: UInt8Array, crop: UInt8Array) -> None:
    """Put a crop into the middle of a cell, whole, with its proportions kept."""
    height, width = crop.shape[:2]
    scale = min(_CELL_HEIGHT_PX / height, _CELL_WIDTH_PX / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (_CELL_HEIGHT_PX - size[1]) // 2, (_CELL_WIDTH_PX - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small


def _column_px(column: int) -> int:
    return _LABEL_WIDTH_PX + column * (_CELL_WIDTH_PX + _GAP_PX)


def _write(
    sheet: UInt8Array,
    text: str,
    at: tuple[int, int],
    *,
    scale: float,
    colour: tuple[int, int, int],
    most_px: int = _LABEL_WIDTH_PX,
) -> None:
    """Write one line with its left lower corner at a pixel, smaller if it would be too long."""
    width_px = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale *= min(1.0, most_px / max(1, width_px))
    cv2.putText(sheet, text, at, _FONT, scale, colour, 1, cv2.LINE_AA)
