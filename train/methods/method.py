"""What the adaptation loop (`train.adapt`) asks of a method that learns from pseudo labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Features of one training batch, and what is known of each.

    Attributes:
        feats_BD: Unit-norm float32, with gradient.
        labels_B: int64 pseudo labels in [0, K).
        camids_B: int64 cameras.
    """

    feats_BD: Tensor
    labels_B: Tensor
    camids_B: Tensor


class Method(Protocol):
    """Made once a run; its memory is made anew each epoch."""

    def begin_epoch(self, feats_ND: Tensor, labels_N: Tensor, camids_N: Tensor) -> None:
        """Build the memory from the features that were clustered.

        Args:
            feats_ND: Unit-norm float32 of all samples that have a label.
            labels_N: int64 pseudo labels in [0, K), each used; outliers are already gone.
            camids_N: int64 cameras.
        """

    def loss(self, batch: Batch, *, progress: float) -> Tensor:
        """Loss of a batch against the memory as it stands.

        Args:
            batch: Features and labels.
            progress: Share of the whole run's steps that are done, in [0, 1).
        """

    def update(self, batch: Batch) -> None:
        """Move the memory by a batch, after its loss was taken."""
