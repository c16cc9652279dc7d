"""Camera-aware proxies around any method: each cluster also has a prototype per camera that saw it.

Wang et al., "Camera-Aware Proxies for Unsupervised Person Re-Identification", AAAI 2021, arXiv 2012.10674.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from reid.settings import Settings
from train.losses.camera_contrast import camera_contrast
from train.memory import unit_means, update_prototypes
from train.methods.method import Batch, Method


class CameraAwareConfig(Settings):
    """Settings of the contrast across cameras."""

    weight: float = Field(default=0.5, ge=0)
    """Of this loss beside the method's own; 0 switches it off."""
    temperature: float = Field(default=0.07, gt=0)
    """Divides similarities."""
    num_negatives: int = Field(default=50, ge=1)
    """Hardest proxies of other clusters that a sample is contrasted against."""
    momentum: float = Field(default=0.2, ge=0, le=1)
    """Share of a proxy that stays at an update."""


class CameraAware:
    """See `train.methods.method.Method`; adds its loss to that of the method it wraps."""

    def __init__(self, config: CameraAwareConfig, inner: Method) -> None:
        self.config = config
        self.inner = inner
        self.proxies_PD = torch.empty(0, 0)
        self._labels_P = torch.empty(0, dtype=torch.int64)
        self._camids_P = torch.empty(0, dtype=torch.int64)
        self._num_cameras = 0

    def begin_epoch(self, feats_ND: Tensor, labels_N: Tensor, camids_N: Tensor) -> None:
        """Proxies start as the unit means of each cluster's samples of one camera."""
        self.inner.begin_epoch(feats_ND, labels_N, camids_N)
        self._num_cameras = int(camids_N.max()) + 1
        keys_P, proxy_of_N = torch.unique(labels_N * self._num_cameras + camids_N, return_inverse=True)
        self.proxies_PD = unit_means(feats_ND, proxy_of_N)
        self._labels_P, self._camids_P = keys_P // self._num_cameras, keys_P % self._num_cameras

    def loss(self, batch: Batch, *, progress: float) -> Tensor:
        """The inner method's loss plus the weighted contrast across cameras."""
        across = camera_contrast(
            batch.feats_BD,
            batch.labels_B,
            batch.camids_B,
            self.proxies_PD,
            self._labels_P,
            self._camids_P,
            temperature=self.config.temperature,
            num_negatives=self.config.num_negatives,
        )
        return self.inner.loss(batch, progress=progress) + self.config.weight * across

    def update(self, batch: Batch) -> None:
        """Move the proxies of the batch's clusters and cameras, and the inner method's memory."""
        self.inner.update(batch)
        keys_P = self._labels_P * self._num_cameras + self._camids_P
        proxies = torch.searchsorted(keys_P, batch.labels_B * self._num_cameras + batch.camids_B)
        self.proxies_PD = update_prototypes(
            self.proxies_PD, batch.feats_BD, proxies, momentum=self.config.momentum, rule="average"
        )
