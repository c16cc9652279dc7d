"""MAR: people of an unlabelled site are told apart by which known identities they look like.

Yu et al., "Unsupervised Person Re-identification by Soft Multilabel Learning", CVPR 2019, arXiv 1903.06325. Every known
identity of the source has an agent; a target crop's cosines to all agents are its soft multilabel, which guides what
of the crops that look alike is taken for one person. The defaults of the weights are the paper's.

Deviations: agents start at the mean features of their identities, since a network that comes from elsewhere has no
classifier of them; and cosines are scaled by 30, as in the authors' released code, where the paper has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from reid.settings import Settings
from train.losses.reference_agents import agent_loss, joint_embedding
from train.losses.soft_multilabel import (
    MinedPairs,
    agreement,
    log_soft_multilabels,
    mine_pairs,
    multilabel_discrimination,
)
from train.losses.view_consistency import ViewStatistics, unknown_statistics, update_statistics, view_consistency
from train.memory import unit_means
from train.methods.transfer_method import Domains, Embedded, TransferBatch


class MarConfig(Settings):
    """Settings of MAR; a weight of 0 switches its term off."""

    method: Literal["mar"] = "mar"
    scale: float = Field(default=30.0, gt=0)
    """Multiplies cosines to agents: 30 in the authors' released code, 1 in the paper's formula."""
    mining_ratio: float = Field(default=0.005, gt=0, le=1)
    """p: share of a batch's target pairs that is mined; a batch of 184 has 84 such pairs, one of 32 only two."""
    bound_momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the bound on agreement that stays from batch to batch."""
    statistics_momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the cameras' running statistics that stays from batch to batch."""
    margin: float = Field(default=1.0, gt=0, le=4)
    """m: least squared distance of others to an agent."""
    discrimination_weight: float = Field(default=1.0, ge=0)
    """Of the discrimination that soft multilabels guide (MDL)."""
    consistency_weight: float = Field(default=2e-4, ge=0)
    """lambda_1: of the consistency of soft multilabels between cameras (CML)."""
    agent_weight: float = Field(default=50.0, ge=0)
    """lambda_2: of the learning of agents (AL), and of the next."""
    joint_weight: float = Field(default=0.2, ge=0)
    """beta: of the joint embedding (RJ) beside the learning of agents."""


class ReferenceAgents(nn.Module):
    """One vector for each known identity; only its direction counts.

    Args:
        num_agents: R.
        feature_dim: D.
    """

    def __init__(self, num_agents: int, feature_dim: int) -> None:
        super().__init__()
        self.agents_RD = nn.Parameter(torch.empty(num_agents, feature_dim))
        nn.init.normal_(self.agents_RD)

    def forward(self) -> Tensor:
        """(R, D) float32, unit norm."""
        return functional.normalize(self.agents_RD, dim=1)

    @torch.no_grad()
    def start_at(self, agents_RD: Tensor) -> None:
        """Take other vectors, in place."""
        self.agents_RD.copy_(agents_RD)


class Mar:
    """See `train.methods.transfer_method.TransferMethod`."""

    def __init__(self, config: MarConfig, domains: Domains) -> None:
        self.config = config
        self.heads = ReferenceAgents(domains.num_source_ids, domains.feature_dim)
        self.figures: Mapping[str, float] = {}
        self.statistics = unknown_statistics(domains.num_cameras, domains.num_source_ids)
        self.agreement_bound: float | None = None

    def wants_embedded(self, epoch: int) -> bool:
        """Only to place the agents."""
        return epoch == 1

    def begin_epoch(self, epoch: int, embedded: Embedded | None) -> None:
        """In the first epoch: agents start as the unit means of their identities."""
        if embedded is not None:
            self.heads.start_at(unit_means(embedded.source_feats_ND, embedded.source_labels_N))

    def loss(self, batch: TransferBatch, *, progress: float, epoch: int) -> Tensor:
        """The weighted sum of all terms (paper, eq. 11)."""
        config, agents_RD = self.config, self.heads()
        source_SD = functional.normalize(batch.source_feats_SD, dim=1)
        target_TD = functional.normalize(batch.target_feats_TD, dim=1)
        log_labels_TR = log_soft_multilabels(target_TD, agents_RD, scale=config.scale)
        pairs = self._mine(target_TD, log_labels_TR)
        discrimination = multilabel_discrimination(target_TD, pairs)
        consistency = self._consistency(log_labels_TR, batch.target_camids_T)
        agents = agent_loss(source_SD, batch.source_labels_S, agents_RD, scale=config.scale)
        joint = joint_embedding(source_SD, batch.source_labels_S, target_TD, agents_RD, margin=config.margin)
        self.figures = {
            "agreement_bound": pairs.agreement_bound,
            "positive_share": float(pairs.is_positive_M.float().mean()),
            "discrimination": float(discrimination.detach()),
            "consistency": float(consistency.detach()),
            "agents": float(agents.detach()),
            "joint": float(joint.detach()),
        }
        return (
            config.discrimination_weight * discrimination
            + config.consistency_weight * consistency
            + config.agent_weight * (agents + config.joint_weight * joint)
        )

    def update(self, batch: TransferBatch, *, epoch: int) -> None:
        """Nothing: bound and statistics have moved with the loss, which they are a part of."""

    def state(self) -> dict[str, Any]:
        """The bound on agreement and the cameras' statistics."""
        means, stds, is_known = self.statistics.means_VR, self.statistics.stds_VR, self.statistics.is_known_V
        return {"agreement_bound": self.agreement_bound, "means": means, "stds": stds, "is_known": is_known}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.agreement_bound = state["agreement_bound"]
        self.statistics = ViewStatistics(state["means"], state["stds"], state["is_known"])

    def _mine(self, target_TD: Tensor, log_labels_TR: Tensor) -> MinedPairs:
        pairs = mine_pairs(
            target_TD,
            agreement(log_labels_TR.detach().exp()),
            ratio=self.config.mining_ratio,
            last_bound=self.agreement_bound,
            momentum=self.config.bound_momentum,
        )
        self.agreement_bound = pairs.agreement_bound
        return pairs

    def _consistency(self, log_labels_TR: Tensor, camids_T: Tensor) -> Tensor:
        last = self.statistics.to(log_labels_TR.device)
        moved = update_statistics(last, log_labels_TR, camids_T, momentum=self.config.statistics_momentum)
        self.statistics = moved.detach()
        return view_consistency(moved)
