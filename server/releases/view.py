"""A roll-out as operators see it: what was decided, beside what the edges say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reid.types import ReleaseRef
from server.releases.fleet import FleetBook
from server.releases.rollout import EdgePhase, EdgeState, Phase, Rollout


@dataclass(frozen=True, kw_only=True)
class EdgeRolloutView:
    """One edge.

    Attributes:
        ring: In which it has its turn; the last one for an edge that was not reached yet.
        state: See `rollout`.
        message: What it said, or why it stands as it does.
        runs: What it says it runs; None while it was not heard since the server started.
        is_attending: It is there now.
    """

    edge_id: str
    ring: int
    state: EdgePhase
    message: str
    runs: ReleaseRef | None
    is_attending: bool


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """One roll-out.

    Attributes:
        previous: What the edges go back to.
        ring: Index of the ring under way.
        reason: Why it stands as it does.
    """

    rollout_key: int
    release: ReleaseRef
    previous: ReleaseRef
    state: Phase
    ring: int
    num_rings: int
    reason: str
    started_us: int
    changed_us: int
    edges: tuple[EdgeRolloutView, ...]

    @property
    def is_active(self) -> bool:
        """It goes on by itself, or waits for an operator."""
        return self.state in ("running", "paused", "rolling_back")


def view_of(rollout: Rollout, book: FleetBook, ref_of: Callable[[str], ReleaseRef]) -> RolloutView:
    """Put both together.

    Args:
        rollout: What was decided.
        book: What the edges say.
        ref_of: Names a release by its space.
    """
    reports, fleet = book.reports(), book.fleet()
    unreached = EdgeState(ring=len(rollout.rings) - 1)
    edges = []
    for edge_id in sorted({*rollout.edges, *reports}):
        edge = rollout.edges.get(edge_id, unreached)
        edges.append(
            EdgeRolloutView(
                edge_id=edge_id,
                ring=edge.ring,
                state=edge.state,
                message=edge.message,
                runs=reports[edge_id].release if edge_id in reports else None,
                is_attending=fleet.is_attending(edge_id),
            )
        )
    return RolloutView(
        rollout_key=rollout.rollout_key,
        release=ref_of(rollout.space),
        previous=ref_of(rollout.previous),
        state=rollout.state,
        ring=rollout.ring,
        num_rings=len(rollout.rings),
        reason=rollout.reason,
        started_us=rollout.started_us,
        changed_us=rollout.changed_us,
        edges=tuple(edges),
    )
