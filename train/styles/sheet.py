"""A picture of restyled crops: a crop at the left of each line, beside it the same as each camera might have seen it.

Every crop has a line for each style. The own camera's place holds the crop itself and is framed. The picture shows
people: it goes to the file asked for and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from reid.files import write_atomic
from reid.types import IntArray, UInt8Array
from train.styles.style import Style

_LABEL_WIDTH_PX = 96
_HEAD_HEIGHT_PX = 28
_FRAME_PX = 4
_WHITE, _GREEN = (255, 255, 255), (60, 180, 60)


def draw_style_sheet(
    path: Path, styles: Mapping[str, Style], crops: UInt8Array, cameras: IntArray, *, num_crops: int = 6
) -> None:
    """Draw some crops of a site in all styles of all cameras.

    Args:
        path: A .png file; replaced if it is there.
        styles: By the name that their lines bear.
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V).
        num_crops: Crops shown, from all cameras in turn.

    Raises:
        OSError: The file cannot be written.
    """
    num_cameras = int(cameras.max()) + 1
    lines = [_head(num_cameras, crops.shape[2])]
    for row in _spread_rows(cameras, num_crops):
        lines += [_line(name, style, row, int(cameras[row]), num_cameras) for name, style in styles.items()]
    _, png = cv2.imencode(".png", np.concatenate(lines))
    write_atomic(path, png.tobytes())


def _spread_rows(cameras: IntArray, num_crops: int) -> list[int]:
    """Rows of all cameras in turn, each time further into what the camera has."""
    num_cameras = int(cameras.max()) + 1
    rows = []
    for place in range(num_crops):
        of_camera = np.flatnonzero(cameras == place % num_cameras)
        rows.append(int(of_camera[len(of_camera) * (place + 1) // (num_crops + 1)]))
    return rows


def _line(name: str, style: Style, row: int, own: int, num_cameras: int) -> UInt8Array:
    cameras = np.arange(num_cameras, dtype=np.int64)
    tiles = style.restyle(np.full(num_cameras, row, dtype=np.int64), cameras)
    framed = [_framed(tile, _GREEN if camera == own else _WHITE) for camera, tile in enumerate(tiles)]
    label = np.full((framed[0].shape[0], _LABEL_WIDTH_PX, 3), 255, dtype=np.uint8)
    _write(label, name, framed[0].shape[0] // 2)
    return np.concatenate([label, *framed], axis=1)


def _head(num_cameras: int, width_px: int) -> UInt8Array:
    parts = [np.full((_HEAD_HEIGHT_PX, _LABEL_WIDTH_PX, 3), 255, dtype=np.uint8)]
    for camera in range(num_cameras):
        part = np.full((_HEAD_HEIGHT_PX, width_px + 2 * _FRAME_PX, 3), 255, dtype=np.uint8)
        _write(part, f"camera {camera + 1}", _HEAD_HEIGHT_PX - 9)
        parts.append(part)
    return np.concatenate(parts, axis=1)


def _framed(tile: UInt8Array, colour: tuple[int, int, int]) -> UInt8Array:
    framed = cv2.copyMakeBorder(tile, *(_FRAME_PX,) * 4, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(framed, dtype=np.uint8)


def _write(part: UInt8Array, text: str, baseline_px: int) -> None:
    cv2.putText(part, text, (6, baseline_px), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
