"""ECN: a site's crops are told apart by a memory of all of them, under three invariances, beside a labelled source.

Zhong et al., "Invariance Matters: Exemplar Memory for Domain Adaptive Person Re-identification", CVPR 2019,
arXiv 1904.01990. The memory has one slot a target crop: its key is the crop's feature, its value the crop itself.
Exemplar invariance: a crop is its own class. Camera invariance: so is the crop in the style of another camera (drawn by
the loop, `train.styles`). Neighbourhood invariance: the crops most like it count a little.

Deviations, each an option: the embedding layer may be left out (`embedding_dim`), and the memory may start from the
crops' embeddings in place of zeros (`starts_embedded`). Dropout stands before the classifier alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from reid.settings import Settings
from train.losses.invariance import invariance, slot_weights
from train.memory import update_prototypes
from train.methods.transfer_method import Domains, Embedded, TransferBatch


class EcnConfig(Settings):
    """Settings of ECN; the defaults are the paper's."""

    method: Literal["ecn"] = "ecn"
    target_weight: float = Field(default=0.3, ge=0, le=1)
    """lambda: share of the target's loss; the source's cross-entropy has the rest."""
    temperature: float = Field(default=0.05, gt=0)
    """Divides similarities to the memory."""
    exemplar: bool = True
    """Exemplar invariance."""
    camera: bool = True
    """Camera invariance; needs a style (`train.styles`)."""
    neighbourhood: bool = True
    """Neighbourhood invariance."""
    num_neighbours: int = Field(default=6, ge=1)
    """k: slots that count as near, the own one among them."""
    neighbourhood_from: int = Field(default=5, ge=1)
    """Epoch from which neighbours count; before, the memory says little."""
    momentum_rate: float = Field(default=0.01, ge=0)
    """alpha is this times the epoch, and at most 1: share of a slot that stays at an update."""
    embedding_dim: int = Field(default=4096, ge=0)
    """Features of the embedding layer, which training alone uses; 0: none, the memory holds what is searched by."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Before the classifier."""
    starts_embedded: bool = False
    """The memory starts from the embeddings of the crops, and the classifier from the mean of each identity, in place
    of zeros and chance; without an embedding layer only."""


class Ecn:
    """See `train.methods.transfer_method.TransferMethod`."""

    def __init__(self, config: EcnConfig, domains: Domains) -> None:
        self.config = config
        dim = config.embedding_dim or domains.feature_dim
        self._embedding = _embedding_layer(domains.feature_dim, config.embedding_dim)
        self._classifier = nn.Linear(dim, domains.num_source_ids)
        self._dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self._classifier.weight, std=0.001)
        nn.init.zeros_(self._classifier.bias)
        self.heads: nn.Module = nn.ModuleDict(
            {"embedding": self._embedding, "dropout": self._dropout, "classifier": self._classifier}
        )
        self.figures: Mapping[str, float] = {}
        self.memory_MD = torch.zeros(domains.num_target, dim)
        self._feats_TD = torch.empty(0, dim)

    def wants_embedded(self, epoch: int) -> bool:
        """At the start, if the memory is to hold the crops' embeddings."""
        return epoch == 1 and self.config.starts_embedded and self.config.embedding_dim == 0

    def begin_epoch(self, epoch: int, embedded: Embedded | None) -> None:
        """Fill memory and classifier where they start from embeddings."""
        if embedded is None:
            return
        self.memory_MD = embedded.target_feats_MD.clone()
        with torch.no_grad():
            self._classifier.weight.copy_(_mean_rows(embedded.source_feats_ND, embedded.source_labels_N))

    def loss(self, batch: TransferBatch, *, progress: float, epoch: int) -> Tensor:
        """(1 - lambda) cross-entropy of the source + lambda invariance of the target."""
        config = self.config
        logits = self._classifier(self._dropout(self._embedding(batch.source_feats_SD)))
        source = functional.cross_entropy(logits, batch.source_labels_S)
        feats_TD = functional.normalize(self._embedding(batch.target_feats_TD), dim=1)
        self._feats_TD = feats_TD.detach()
        similarity_TM = feats_TD @ self._memory_on(feats_TD.device).T
        weights_TM = slot_weights(
            similarity_TM.detach(),
            batch.target_rows_T,
            self._own_weights(batch.target_restyled_T),
            num_neighbours=config.num_neighbours if config.neighbourhood and epoch >= config.neighbourhood_from else 0,
        )
        target = invariance(similarity_TM, weights_TM, temperature=config.temperature)
        right = (logits.argmax(dim=1) == batch.source_labels_S).float().mean()
        self.figures = {
            "source_loss": float(source.detach()),
            "target_loss": float(target.detach()),
            "source_accuracy": float(right),
        }
        return (1.0 - config.target_weight) * source + config.target_weight * target

    def update(self, batch: TransferBatch, *, epoch: int) -> None:
        """K <- alpha K + (1 - alpha) f, of unit norm again."""
        momentum = min(1.0, self.config.momentum_rate * epoch)
        self.memory_MD = update_prototypes(
            self.memory_MD, self._feats_TD, batch.target_rows_T, momentum=momentum, rule="average"
        )

    def state(self) -> dict[str, Any]:
        """The memory."""
        return {"memory": self.memory_MD}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The memory."""
        self.memory_MD = state["memory"]

    def _own_weights(self, restyled_T: Tensor) -> Tensor:
        return torch.where(restyled_T, float(self.config.camera), float(self.config.exemplar))

    def _memory_on(self, device: torch.device) -> Tensor:
        self.memory_MD = self.memory_MD.to(device)
        return self.memory_MD


def _embedding_layer(feature_dim: int, embedding_dim: int) -> nn.Module:
    if embedding_dim == 0:
        return nn.Identity()
    linear = nn.Linear(feature_dim, embedding_dim)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.BatchNorm1d(embedding_dim), nn.ReLU())


def _mean_rows(feats_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Mean of the features of each label, centred over the labels: a classifier that is right more often than not."""
    sums = feats_ND.new_zeros(int(labels_N.max()) + 1, feats_ND.shape[1]).index_add_(0, labels_N, feats_ND)
    means = sums / torch.bincount(labels_N)[:, None]
    return means - means.mean(dim=0)
