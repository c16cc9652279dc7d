"""What the transfer loop (`train.transfer`) asks of a method that has labelled source crops beside a site's.

Shape letters: S source crops of a batch, T target crops of a batch, D features of the network; N source crops, M target
crops of the whole run. Cameras of the target are numbered 0 … V-1 here, without gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Domains:
    """How large both sides of a transfer are: what a method's heads and memories are sized by.

    Attributes:
        feature_dim: D, features that the network gives.
        num_source_ids: Labelled identities of the source.
        num_source: N, source crops.
        num_target: M, target crops.
        num_cameras: V, cameras of the target.
    """

    feature_dim: int
    num_source_ids: int
    num_source: int
    num_target: int
    num_cameras: int


@dataclass(frozen=True, kw_only=True)
class TransferBatch:
    """Features of one training batch of both domains.

    Attributes:
        source_feats_SD: float32, not normalised, with gradient.
        source_labels_S: int64 identities in [0, `num_source_ids`).
        target_feats_TD: float32, not normalised, with gradient.
        target_rows_T: int64 rows of the target's crops, in [0, M).
        target_camids_T: int64 cameras that saw the crops, in [0, V).
        target_restyled_T: bool; the crop was shown in the style of another camera.
    """

    source_feats_SD: Tensor
    source_labels_S: Tensor
    target_feats_TD: Tensor
    target_rows_T: Tensor
    target_camids_T: Tensor
    target_restyled_T: Tensor


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """All crops of both domains, embedded by the weights as they stand at the start of an epoch.

    Attributes:
        source_feats_ND: float32, unit norm.
        source_labels_N: int64 identities in [0, `num_source_ids`).
        target_feats_MD: float32, unit norm.
        target_camids_M: int64 cameras in [0, V).
    """

    source_feats_ND: Tensor
    source_labels_N: Tensor
    target_feats_MD: Tensor
    target_camids_M: Tensor


class TransferMethod(Protocol):
    """Made once a run from its config and the `Domains`; epochs count from 1."""

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the network: classifiers, embedding layers, agents; perhaps nothing.

        The loop keeps them, moves them to the run's device and puts them into training mode.
        """

    @property
    def figures(self) -> Mapping[str, float]:
        """Terms of the last loss by name, without their weights, for the metrics; every loss has the same names."""

    def wants_embedded(self, epoch: int) -> bool:
        """Whether this epoch must begin with the embeddings of all crops, which cost a pass over both domains."""

    def begin_epoch(self, epoch: int, embedded: Embedded | None) -> None:
        """Get ready for an epoch; `embedded` is there if `wants_embedded` said so."""

    def loss(self, batch: TransferBatch, *, progress: float, epoch: int) -> Tensor:
        """Loss of a batch; sets `figures`.

        Args:
            batch: Features of both domains.
            progress: Share of the whole run's steps that are done, in [0, 1).
            epoch: From 1.
        """

    def update(self, batch: TransferBatch, *, epoch: int) -> None:
        """Move memories by a batch, after its step was taken."""

    def state(self) -> dict[str, Any]:
        """What the method keeps beside the heads' weights, as plain data and tensors: memories, running figures."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
