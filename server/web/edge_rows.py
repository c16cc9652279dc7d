"""What is known of each edge, put together: what it says of itself, what came from it, and what is stored of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from server.counts import EdgeCounts
from server.releases.fleet import EdgeReport, Pace
from server.types import EdgeSummary

State = Literal["streaming", "attending", "away"]


@dataclass(frozen=True, kw_only=True)
class EdgeRow:
    """One edge.

    Attributes:
        state: Its embeddings come; or only its reports do; or nothing does.
        report: What it said last of itself; None if nothing was heard since the server started.
        pace: How fast it is; None where it is away, or too little was heard.
        spool_depth: Observations that wait there, by its latest word.
        spool_dropped: Observations that its spool lost to its bound.
        clock_offset_us: Added to its times; 0 while its clock is right.
        last_seen_us: When something of it was stored last; 0 for never.
    """

    edge_id: str
    state: State
    camids: tuple[str, ...]
    report: EdgeReport | None
    pace: Pace | None
    spool_depth: int
    spool_dropped: int
    clock_offset_us: int
    num_observations: int
    last_seen_us: int


def edge_rows(
    stored: Sequence[EdgeSummary],
    *,
    reports: Mapping[str, EdgeReport],
    paces: Mapping[str, Pace],
    attending: Collection[str],
    counts: Mapping[str, EdgeCounts],
    connected_camids: Mapping[str, tuple[str, ...]],
) -> list[EdgeRow]:
    """All edges that ever stored or said something, in order of edge_id.

    Args:
        stored: What is stored of them.
        reports: What they said last, by edge_id.
        paces: How fast they were lately.
        attending: Those that were heard a moment ago.
        counts: Of their streams.
        connected_camids: Those whose embeddings come now, and their cameras.
    """
    by_edge = {edge.edge_id: edge for edge in stored}
    rows = []
    for edge_id in sorted({*by_edge, *reports, *connected_camids}):
        edge, report = by_edge.get(edge_id), reports.get(edge_id)
        count, state = counts.get(edge_id, EdgeCounts()), _state(edge_id, attending, connected_camids)
        known: tuple[str, ...] = edge.camids if edge else ()
        rows.append(
            EdgeRow(
                edge_id=edge_id,
                state=state,
                camids=tuple(sorted({*known, *connected_camids.get(edge_id, ())})),
                report=report,
                pace=paces.get(edge_id) if state != "away" else None,
                spool_depth=report.spool_depth if report else count.spool_depth,
                spool_dropped=max(report.spool_dropped if report else 0, count.spool_dropped),
                clock_offset_us=count.clock_offset_us,
                num_observations=edge.num_observations if edge else 0,
                last_seen_us=edge.last_seen_us if edge else 0,
            )
        )
    return rows


def _state(edge_id: str, attending: Collection[str], connected: Collection[str]) -> State:
    if edge_id in connected:
        return "streaming"
    return "attending" if edge_id in attending else "away"
