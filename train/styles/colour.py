"""The look of a camera as means and deviations of its colours. Shape letters: N crops, B of a batch, V cameras."""

from __future__ import annotations

import cv2
import numpy as np

from reid.types import FloatArray, IntArray, UInt8Array
from train.styles.style import crops_of_cameras


class ColourStyle:
    """Means and deviations of lightness and the two colour axes, moved from one camera's to another's.

    Args:
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V).
    """

    def __init__(self, crops: UInt8Array, cameras: IntArray) -> None:
        self._crops = crops
        self._cameras = cameras
        labs = [_pixels_in_lab(chosen) for chosen in crops_of_cameras(crops, cameras)]
        self._means_V3 = np.array([lab.mean(axis=0) for lab in labs])
        # A camera of one colour alone has no deviation to scale by.
        self._stds_V3 = np.maximum([lab.std(axis=0) for lab in labs], 1.0)

    def restyle(self, rows: IntArray, cameras: IntArray) -> UInt8Array:
        """See `Style`."""
        pairs = zip(rows.tolist(), cameras.tolist(), strict=True)
        return np.stack([self._restyle_one(row, camera) for row, camera in pairs])

    def _restyle_one(self, row: int, camera: int) -> UInt8Array:
        own, crop = int(self._cameras[row]), np.array(self._crops[row])
        if own == camera:
            return crop
        values = np.arange(256, dtype=np.float64)[:, None]
        moved = (values - self._means_V3[own]) * (self._stds_V3[camera] / self._stds_V3[own]) + self._means_V3[camera]
        table = np.clip(np.rint(moved), 0, 255).astype(np.uint8)[None]
        lab = cv2.LUT(cv2.cvtColor(crop, cv2.COLOR_BGR2LAB), table)
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), dtype=np.uint8)


def _pixels_in_lab(crops: UInt8Array) -> FloatArray:
    """(P, 3) float32 pixels of all crops, as OpenCV scales CIELAB to bytes."""
    tall = crops.reshape(-1, crops.shape[2], 3)
    return cv2.cvtColor(tall, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
