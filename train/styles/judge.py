"""How well restyled crops pass for those of the wanted camera: by a judge that learned from real crops alone.

The judge is a logistic regression on coarse colours and contrasts, so it sees the look of a camera and not the person.
"""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from reid.types import FloatArray, IntArray, UInt8Array
from train.styles.style import Style

_COARSE_PX = (4, 8)
"""Width and height of the coarse picture."""
_MOST_LEARNT = 3000
_MOST_JUDGED = 600


class CameraJudge:
    """Learns from every other crop of a site, and judges those between.

    Args:
        crops: uint8 (N, H, W, 3) BGR.
        cameras: (N,) int64 in [0, V), each used.
        seed: Of the draw of what is judged.
    """

    def __init__(self, crops: UInt8Array, cameras: IntArray, *, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        shuffled = rng.permutation(len(crops))
        learnt = np.sort(shuffled[: len(crops) // 2][:_MOST_LEARNT])
        self._judged = np.sort(shuffled[len(crops) // 2 :][:_MOST_JUDGED])
        self._crops = crops
        self._own = cameras[self._judged]
        # Another camera than the own one, each as likely.
        num_cameras = int(cameras.max()) + 1
        self._wanted = (self._own + rng.integers(1, num_cameras, size=len(self._own))) % num_cameras
        self._model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
        self._model.fit(_looks(crops[learnt]), cameras[learnt])

    def real_accuracy(self) -> float:
        """Share of real crops whose camera is named right: what restyled ones could reach at best."""
        return self._share_named(self._crops[self._judged], self._own)

    def unchanged_share(self) -> float:
        """Share of real crops that pass for the wanted camera as they are: what restyled ones must exceed."""
        return self._share_named(self._crops[self._judged], self._wanted)

    def passing_share(self, style: Style) -> float:
        """Share of restyled crops that pass for the wanted camera."""
        return self._share_named(style.restyle(self._judged, self._wanted), self._wanted)

    def _share_named(self, crops: UInt8Array, cameras: IntArray) -> float:
        return float((self._model.predict(_looks(crops)) == cameras).mean())


def _looks(crops: UInt8Array) -> FloatArray:
    return np.stack([_look(crop) for crop in crops])


def _look(crop: UInt8Array) -> FloatArray:
    lab = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_BGR2LAB).astype(np.float32)
    coarse = cv2.resize(lab, _COARSE_PX, interpolation=cv2.INTER_AREA)
    return np.concatenate([coarse.ravel(), lab.reshape(-1, 3).std(axis=0)])
