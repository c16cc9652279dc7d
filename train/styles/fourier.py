"""The look of a camera as amplitudes of low frequencies. Shape letters: N crops, B of a batch, V cameras."""

from __future__ import annotations

import numpy as np

from reid.types import FloatArray, IntArray, UInt8Array
from train.styles.style import crops_of_cameras


class FourierStyle:
    """Amplitudes of low frequencies, scaled by the ratio of two cameras' averages; phases, the shapes, stay.

    Paper: Yang and Soatto, Fourier Domain Adaptation, CVPR 2020, arXiv 2004.05498. Deviation: the amplitudes of another
    crop are not put in place of a crop's own, which would give it that crop's clothes.

    Args:
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V).
        band: Highest frequency that is changed, in cycles a pixel of the shorter side.
    """

    def __init__(self, crops: UInt8Array, cameras: IntArray, *, band: float) -> None:
        self._crops = crops
        self._cameras = cameras
        height, width = crops.shape[1:3]
        # In cycles over the picture, so that a person's height and width are treated alike.
        highest = max(1, round(band * min(height, width)))
        self._rows = np.r_[0 : highest + 1, height - highest : height]
        self._columns = np.arange(highest + 1)
        self._logs_V = np.stack([self._mean_log(chosen) for chosen in crops_of_cameras(crops, cameras)])

    def restyle(self, rows: IntArray, cameras: IntArray) -> UInt8Array:
        """See `Style`."""
        changed = np.array(self._crops[rows])
        own = self._cameras[rows]
        for place in np.flatnonzero(own != cameras):
            factor = np.exp(self._logs_V[cameras[place]] - self._logs_V[own[place]])
            changed[place] = self._scaled(changed[place], factor)
        return changed

    def _scaled(self, crop: UInt8Array, factor: FloatArray) -> UInt8Array:
        height, width = crop.shape[:2]
        spectrum = np.fft.rfft2(crop.astype(np.float32), axes=(0, 1))
        spectrum[np.ix_(self._rows, self._columns)] *= factor
        pixels = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def _mean_log(self, crops: UInt8Array) -> FloatArray:
        """Mean over crops of the logarithm of each low amplitude: (rows, columns, 3) float32."""
        low = np.ix_(self._rows, self._columns)
        logs = [np.log1p(np.abs(np.fft.rfft2(crop.astype(np.float32), axes=(0, 1))[low])) for crop in crops]
        return np.asarray(np.mean(logs, axis=0), dtype=np.float32)
