"""Cross-view consistency of soft multilabels: what people look like must not depend on the camera that saw them.

Yu et al., "Unsupervised Person Re-identification by Soft Multilabel Learning", CVPR 2019, arXiv 1903.06325, sect. 3.3.

Shape letters: B batch, R reference agents, V cameras; the last of V + 1 rows stands for all cameras together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_VARIANCE = 1e-6
"""Keeps the gradient of a standard deviation finite where all crops of a camera are alike."""


@dataclass(frozen=True)
class ViewStatistics:
    """Mean and standard deviation of log soft multilabels, by camera and over all of them.

    Attributes:
        means_VR: float32 (V + 1, R).
        stds_VR: float32 (V + 1, R).
        is_known_V: bool (V + 1,); rows that no batch has had two crops for yet are not.
    """

    means_VR: Tensor
    stds_VR: Tensor
    is_known_V: Tensor

    def detach(self) -> ViewStatistics:
        """The same without gradient."""
        return ViewStatistics(self.means_VR.detach(), self.stds_VR.detach(), self.is_known_V)

    def to(self, device: torch.device) -> ViewStatistics:
        """The same on a device."""
        return ViewStatistics(self.means_VR.to(device), self.stds_VR.to(device), self.is_known_V.to(device))


def unknown_statistics(num_views: int, num_agents: int) -> ViewStatistics:
    """Statistics before the first batch.

    Args:
        num_views: V.
        num_agents: R.
    """
    shape = num_views + 1, num_agents
    return ViewStatistics(torch.zeros(shape), torch.ones(shape), torch.zeros(num_views + 1, dtype=torch.bool))


def update_statistics(
    last: ViewStatistics, log_labels_BR: Tensor, camids_B: Tensor, *, momentum: float
) -> ViewStatistics:
    """Move running statistics by a batch; the gradient reaches the batch's share of them.

    Args:
        last: Without gradient.
        log_labels_BR: float32, with gradient.
        camids_B: int64 in [0, V).
        momentum: Share of the last statistics that stays, in [0, 1).

    Returns:
        New statistics; rows with fewer than two crops in the batch stay as they were.
    """
    num_views = len(last.is_known_V) - 1
    views = [camids_B == view for view in range(num_views)] + [torch.ones_like(camids_B, dtype=torch.bool)]
    rows = [_updated_row(last, row, log_labels_BR[chosen], momentum) for row, chosen in enumerate(views)]
    means, stds, are_known = zip(*rows, strict=True)
    return ViewStatistics(torch.stack(means), torch.stack(stds), torch.stack(are_known))


def view_consistency(statistics: ViewStatistics) -> Tensor:
    """Squared simplified 2-Wasserstein distance of each camera's distribution to that of all, summed over cameras.

    Args:
        statistics: Cameras that are not known yet are left out.

    Returns:
        A float32 scalar >= 0; 0 before any camera is known.

    Paper: eq. 6, |mu_v - mu|^2 + |sigma_v - sigma|^2. Deviation: none.
    """
    apart_V = (statistics.means_VR[:-1] - statistics.means_VR[-1]).square().sum(dim=1)
    apart_V = apart_V + (statistics.stds_VR[:-1] - statistics.stds_VR[-1]).square().sum(dim=1)
    return (apart_V * statistics.is_known_V[:-1]).sum()


def _updated_row(
    last: ViewStatistics, row: int, log_labels_BR: Tensor, momentum: float
) -> tuple[Tensor, Tensor, Tensor]:
    if len(log_labels_BR) < 2:
        return last.means_VR[row], last.stds_VR[row], last.is_known_V[row]
    mean_R = log_labels_BR.mean(dim=0)
    std_R = (log_labels_BR.var(dim=0, correction=0) + _LEAST_VARIANCE).sqrt()
    if last.is_known_V[row]:
        mean_R = momentum * last.means_VR[row] + (1.0 - momentum) * mean_R
        std_R = momentum * last.stds_VR[row] + (1.0 - momentum) * std_R
    return mean_R, std_R, torch.ones_like(last.is_known_V[row])
