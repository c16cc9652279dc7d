"""A site's crops in the style of each of its cameras, made once by a generator and kept in a folder.

transferred.npy   uint8 (N, V, h, w, 3) BGR at the generator's size; the picture in the own camera's place is never used
style.json        of which crops they are, and how they were made; written last, so that a folder without it is not done

The generator's pictures are small. What it changed is added to the crop at its full size, so that no detail is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reid.files import write_json_atomic
from reid.types import FloatArray, IntArray, UInt8Array
from train.errors import StyleError
from train.row_file import write_rows

ARRAY_FILE = "transferred.npy"
STYLE_FILE = "style.json"
_BATCH_CROPS = 64


def crops_digest(crops: UInt8Array, cameras: IntArray) -> str:
    """What tells the crops of one site from those of another: sha256 of their pixels and cameras."""
    digest = hashlib.sha256(cameras.astype("<i8").tobytes())
    for start in range(0, len(crops), 1024):
        digest.update(np.ascontiguousarray(crops[start : start + 1024]).data)
    return digest.hexdigest()


Make = Callable[[UInt8Array, IntArray], UInt8Array]
"""Small crops (B, h, w, 3) as the cameras (B,) might have seen them; a generator."""


def write_style(
    folder: Path,
    crops: UInt8Array,
    cameras: IntArray,
    make: Make,
    *,
    size_px: tuple[int, int],
    says: Mapping[str, Any],
    on_batch: Callable[[int], None] = lambda num_done: None,
) -> None:
    """Make a site's crops in all styles.

    Args:
        folder: Exists; a style that it holds is replaced.
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V).
        make: The generator.
        size_px: Its height and width.
        says: What `style.json` holds beside the hash of the crops.
        on_batch: Called with the number of crops done.

    Raises:
        OSError: The disk is full; the folder then holds no style.
    """
    for name in (STYLE_FILE, ARRAY_FILE):
        (folder / name).unlink(missing_ok=True)
    num_cameras = int(cameras.max()) + 1
    shape = (len(crops), num_cameras, *size_px, 3)

    def batches() -> Iterator[UInt8Array]:
        for start in range(0, len(crops), _BATCH_CROPS):
            small = shrink(crops[start : start + _BATCH_CROPS], *size_px)
            styles = [make(small, np.full(len(small), camera, dtype=np.int64)) for camera in range(num_cameras)]
            yield np.stack(styles, axis=1)
            on_batch(start + len(small))

    write_rows(folder / ARRAY_FILE, shape, batches())
    write_json_atomic(folder / STYLE_FILE, {**says, "crops_sha256": crops_digest(crops, cameras)})


def shrink(crops: UInt8Array, height_px: int, width_px: int) -> UInt8Array:
    """Crops at a generator's size: uint8 (B, h, w, 3) BGR."""
    small = [cv2.resize(crop, (width_px, height_px), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).astype(np.uint8, copy=False)


def read_style(folder: Path) -> Mapping[str, Any]:
    """What a folder of transferred crops says of itself.

    Raises:
        StyleError: It holds none, or a damaged one.
    """
    path = folder / STYLE_FILE
    try:
        style = json.loads(path.read_text(encoding="utf-8"))
        return {"crops_sha256": style["crops_sha256"], **style}
    except OSError:
        raise StyleError(f"{folder} holds no finished style: make it with 'osprey-train style-transfer'") from None
    except (ValueError, KeyError, TypeError):
        raise StyleError(f"{path} is damaged: make the style again with 'osprey-train style-transfer'") from None


class TransferredStyle:
    """See `train.styles.style.Style`.

    Args:
        folder: Of the style.
        crops: uint8 (N, H, W, 3) BGR that it was made of.
        cameras: (N,) int64 in [0, V).

    Raises:
        StyleError: The folder holds no style, or one of other crops.
    """

    def __init__(self, folder: Path, crops: UInt8Array, cameras: IntArray) -> None:
        if read_style(folder)["crops_sha256"] != crops_digest(crops, cameras):
            raise StyleError(
                f"{folder} is a style of other crops than those to adapt on: make one of them with "
                "'osprey-train style-transfer'"
            )
        self._crops = crops
        self._cameras = cameras
        self._transferred: UInt8Array = np.load(folder / ARRAY_FILE, mmap_mode="r")

    def restyle(self, rows: IntArray, cameras: IntArray) -> UInt8Array:
        """See `Style`."""
        restyled = np.array(self._crops[rows])
        size = self._transferred.shape[2:4]
        for place in np.flatnonzero(self._cameras[rows] != cameras):
            made = self._transferred[rows[place], cameras[place]]
            change = made.astype(np.float32) - shrink(restyled[place : place + 1], *size)[0]
            restyled[place] = _changed(restyled[place], change)
        return restyled


def _changed(crop: UInt8Array, change: FloatArray) -> UInt8Array:
    height, width = crop.shape[:2]
    full = crop + cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(np.rint(full), 0, 255), dtype=np.uint8)
