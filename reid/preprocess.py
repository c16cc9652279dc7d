"""From a BGR frame and a box to network input: the one way, used by edge, server, evaluation and golden checks.

The network takes uint8 (N, 256, 128, 3) BGR crops; cast, channel order and normalisation are inside its graph.
Crops larger than the target are averaged down (cv2 `INTER_AREA`, which anti-aliases), others are resized bilinearly:
the rule that manifests call `area-down-linear-up`.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reid.errors import BoxError, ImageError
from reid.types import Box, UInt8Array

INPUT_HEIGHT_PX = 256
INPUT_WIDTH_PX = 128
LARGEST_IMAGE_PX = 64_000_000
"""Pixels of the largest picture that is decoded."""


def resize_crop(crop: UInt8Array) -> UInt8Array:
    """Resize one BGR crop (H, W, 3) uint8 to (256, 128, 3)."""
    height, width = crop.shape[:2]
    shrinks = height > INPUT_HEIGHT_PX and width > INPUT_WIDTH_PX
    resized = cv2.resize(
        crop, (INPUT_WIDTH_PX, INPUT_HEIGHT_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(resized, dtype=np.uint8)


def clip_box(box: Box, *, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Round a box outwards to whole pixels and cut it to the frame.

    Returns:
        x1, y1, x2, y2 with 0 <= x1 < x2 <= width_px and 0 <= y1 < y2 <= height_px.

    Raises:
        BoxError: Nothing of the box lies inside the frame, or it is not finite.
    """
    if not np.isfinite(box).all():
        raise BoxError(f"box {tuple(box)} is not finite: the detector or tracker that made it is at fault")
    x1, y1 = max(0, int(np.floor(box.x1))), max(0, int(np.floor(box.y1)))
    x2, y2 = min(width_px, int(np.ceil(box.x2))), min(height_px, int(np.ceil(box.y2)))
    if x1 >= x2 or y1 >= y2:
        raise BoxError(f"box {tuple(round(v, 1) for v in box)} has no area inside its {width_px}x{height_px} frame")
    return x1, y1, x2, y2


def crop_person(frame: UInt8Array, box: Box) -> UInt8Array:
    """Cut a box out of a BGR frame, without resizing; a view, not a copy.

    Raises:
        BoxError: The box has no area inside the frame.
    """
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = clip_box(box, width_px=width, height_px=height)
    return frame[y1:y2, x1:x2]


def network_input(frame: UInt8Array, boxes: Sequence[Box]) -> UInt8Array:
    """Crop and resize all boxes of a frame into one batch.

    Args:
        frame: BGR uint8 (H, W, 3).
        boxes: N boxes in pixels of the frame.

    Returns:
        uint8 (N, 256, 128, 3) BGR, contiguous.

    Raises:
        BoxError: A box has no area inside the frame.
    """
    crops = np.empty((len(boxes), INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3), dtype=np.uint8)
    for row, box in enumerate(boxes):
        crops[row] = resize_crop(crop_person(frame, box))
    return crops


def decode_image(content: bytes, *, name: str) -> UInt8Array:
    """Decode an encoded picture (JPEG, PNG, …) to BGR uint8 (H, W, 3).

    Raises:
        ImageError: The bytes are no picture, or one of too many pixels (a few kilobytes can unpack to gigabytes);
            `name` is named.
    """
    try:
        with Image.open(BytesIO(content)) as header:
            is_too_large = header.width * header.height > LARGEST_IMAGE_PX
    except Image.DecompressionBombError:
        is_too_large = True
    except Exception:  # Pillow's readers raise a dozen unrelated types for broken files
        raise _not_a_picture(content, name) from None
    if is_too_large:
        raise ImageError(f"{name} has more than {LARGEST_IMAGE_PX // 1_000_000} million pixels: scale it down")
    try:
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise _not_a_picture(content, name)
    return np.asarray(picture, dtype=np.uint8)


def read_image(path: Path) -> UInt8Array:
    """Read a picture file as BGR uint8 (H, W, 3).

    Raises:
        ImageError: The file is missing or no picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read picture {path}: {error.strerror}") from None
    return decode_image(content, name=str(path))


def _not_a_picture(content: bytes, name: str) -> ImageError:
    return ImageError(f"{name} is no readable picture ({len(content)} bytes): give a whole JPEG, PNG or WebP file")
