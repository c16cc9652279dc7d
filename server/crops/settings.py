"""How many crops are asked for, and how long they are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reid.settings import Settings

Strategy = Literal["boundary", "diverse", "random"]
"""Which tracklets teach most: those between two clusters, those that are unlike each other, or any."""


class DemandSettings(Settings):
    """How many crops somebody who looks at a person is brought."""

    max_crops: int = Field(default=24, ge=1)
    """Asked for at a time."""
    deadline_s: float = Field(default=30.0, gt=0)
    """How long to wait for edges that are not connected."""
    max_tracklets: int = Field(default=200, ge=1)
    """Only the latest of a person: edges have no crops of older ones."""


class CropSettings(Settings):
    """What may be asked of the edges, and kept here."""

    strategy: Strategy = "diverse"
    """Which tracklets are asked for first."""
    max_crops: int = Field(default=4000, ge=1)
    """Most crops asked for at a time, of all edges together."""
    max_candidates: int = Field(default=20_000, ge=1)
    """Most tracklets to choose from, the latest."""
    crops_per_tracklet: int = Field(default=4, ge=2)
    """Most crops of one tracklet; training needs two to see what stays the same."""
    daily_limit_mib: float = Field(default=64.0, gt=0)
    """What one edge may be made to send in one UTC day."""
    request_crops: int = Field(default=64, ge=1, le=64)
    """Crops in one request."""
    answer_timeout_s: float = Field(default=30.0, gt=0)
    """An edge that has not answered for so long is asked again on a new connection."""
    max_lies: int = Field(default=8, ge=1)
    """The stream of an edge that sends more answers that are wrong or unasked is ended."""
    quota_mib: float = Field(default=4096.0, gt=0)
    """Space for crops on the server's disk; the oldest make room."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of each camera's tracklets, the latest, that a snapshot keeps for judging."""
    demand: DemandSettings = DemandSettings()
    """What somebody who looks at a person is brought."""
