"""Letterbox: a frame scaled without distortion into the top-left corner of a fixed canvas, the rest filled."""

from __future__ import annotations

import cv2
import numpy as np

from reid.types import FloatArray, UInt8Array


class Letterbox:
    """Writes frames into one canvas that is used again for every frame.

    Args:
        width_px: Width of the canvas.
        height_px: Height of the canvas.
        fill: Grey level of what the frame leaves free, 0 to 255.
    """

    def __init__(self, *, width_px: int, height_px: int, fill: int) -> None:
        self._fill = fill
        self._canvas: UInt8Array = np.full((height_px, width_px, 3), fill, dtype=np.uint8)
        self._used = (0, 0)

    def scale_of(self, width_px: int, height_px: int) -> float:
        """Pixels of the canvas per pixel of a frame of this size."""
        canvas_height, canvas_width = self._canvas.shape[:2]
        return min(float(canvas_width) / width_px, float(canvas_height) / height_px)

    def place(self, frame: UInt8Array) -> UInt8Array:
        """Scale a frame into the canvas.

        Args:
            frame: BGR uint8 (H, W, 3), not empty.

        Returns:
            The canvas, valid until the next call.
        """
        height, width = frame.shape[:2]
        scale = self.scale_of(width, height)
        used = max(1, round(height * scale)), max(1, round(width * scale))
        if used != self._used:
            self._canvas[:] = self._fill
            self._used = used
        # Linear, as these networks saw frames in training; an averaging resize would be a domain shift.
        cv2.resize(frame, (used[1], used[0]), dst=self._canvas[: used[0], : used[1]], interpolation=cv2.INTER_LINEAR)
        return self._canvas


def unplace(xyxy: FloatArray, scale: float) -> FloatArray:
    """Boxes (N, 4) of the canvas in pixels of the frame."""
    return np.asarray(xyxy / np.float32(scale), dtype=np.float32)
