"""Compatibility with the parent: new embeddings stay comparable with those that the parent made and a server keeps."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from reid.settings import Settings
from train.losses.camera_contrast import camera_contrast
from train.memory import unit_means


class CompatibilityConfig(Settings):
    """Settings of the compatibility term."""

    weight: float = Field(default=0.0, ge=0)
    """Of the term beside the method's own loss; 0 switches it off."""
    temperature: float = Field(default=0.07, gt=0)
    """Divides similarities."""
    num_negatives: int = Field(default=50, ge=1)
    """Hardest old prototypes of other clusters that a sample is contrasted against."""

    @property
    def is_on(self) -> bool:
        """Whether there is anything to compute."""
        return self.weight > 0


class Compatibility:
    """The term over a run: new features are classified among the parent's prototypes of the same pseudo labels.

    Args:
        config: Weight and temperature.
        old_ND: Unit-norm float32 embeddings of all crops by the parent.

    Paper: Shen et al., Towards Backward-Compatible Representation Learning, CVPR 2020, arXiv 2003.11942: new features
    go through the old classifier. Deviations: there are no labels and there is no old classifier, so the means of old
    embeddings stand for its weights, by pseudo label and camera, since an old prototype of one camera is what a new
    embedding of another has to find. A prototype per label alone, and a pull of each crop to its own old embedding,
    measured worse (docs/log.md).
    """

    def __init__(self, config: CompatibilityConfig, old_ND: Tensor) -> None:
        self.config = config
        self.protos_PD = old_ND.new_empty(0, old_ND.shape[1])
        self._old_ND = old_ND
        self._labels_P = torch.empty(0, dtype=torch.int64)
        self._camids_P = torch.empty(0, dtype=torch.int64)

    def begin_epoch(self, labels_N: Tensor, camids_N: Tensor) -> None:
        """Take the prototypes of an epoch's pseudo labels.

        Args:
            labels_N: int64 pseudo labels of all crops in [0, K), each used; -1 for outliers.
            camids_N: int64 cameras of all crops.
        """
        inliers = labels_N >= 0
        num_cameras = int(camids_N.max()) + 1
        keys_N = labels_N[inliers] * num_cameras + camids_N[inliers]
        keys_P, proto_of_N = torch.unique(keys_N, return_inverse=True)
        self.protos_PD = unit_means(self._old_ND[inliers], proto_of_N)
        self._labels_P, self._camids_P = keys_P // num_cameras, keys_P % num_cameras

    def loss(self, feats_BD: Tensor, labels_B: Tensor, camids_B: Tensor) -> Tensor:
        """The weighted term of one batch.

        Args:
            feats_BD: Unit-norm float32, with gradient.
            labels_B: int64 pseudo labels in [0, K).
            camids_B: int64 cameras.

        Returns:
            A float32 scalar >= 0.
        """
        across = camera_contrast(
            feats_BD,
            labels_B,
            camids_B,
            self.protos_PD,
            self._labels_P,
            self._camids_P,
            temperature=self.config.temperature,
            num_negatives=self.config.num_negatives,
        )
        return self.config.weight * across
