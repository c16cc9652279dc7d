"""Pairs `x_to_proto` / `x_from_proto` for changes of identities."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from protos import identity_pb2
from server.consolidator import ConsolidationReport
from server.identities import IdentityChange
from server.storage.records import LineageEvent, Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSummary:
    """One event of the lineage as operators see it.

    Attributes:
        event_key: Names it, for `undo`.
        time_us: Server's clock.
        kind: merge, split, undo, name or consolidation.
        actor: Whose word it was.
        undone_by: event_key of its undoing; 0 while it holds.
        moves: (from person, to person, number of tracklets).
        made: person_ids.
        folded: (person_id, into whom).
        namings: Names before and after.
    """

    event_key: int
    time_us: int
    kind: str
    actor: str
    undone_by: int
    moves: tuple[tuple[int, int, int], ...]
    made: tuple[int, ...]
    folded: tuple[tuple[int, int], ...]
    namings: tuple[Naming, ...]


def change_to_proto(change: IdentityChange) -> identity_pb2.IdentityChange:
    """A change as a message."""
    return identity_pb2.IdentityChange(
        event_key=change.event_key, person_ids=change.person_ids, num_tracklets=change.num_tracklets
    )


def change_from_proto(message: identity_pb2.IdentityChange) -> IdentityChange:
    """A change from its message."""
    return IdentityChange(
        event_key=message.event_key, person_ids=tuple(message.person_ids), num_tracklets=message.num_tracklets
    )


def report_to_proto(report: ConsolidationReport) -> identity_pb2.ConsolidateResponse:
    """What a consolidation came to as a message."""
    return identity_pb2.ConsolidateResponse(
        num_tracklets=report.num_tracklets,
        num_moved=report.num_moved,
        num_skipped=report.num_skipped,
        event_keys=report.event_keys,
    )


def report_from_proto(message: identity_pb2.ConsolidateResponse) -> ConsolidationReport:
    """What a consolidation came to from its message."""
    return ConsolidationReport(
        num_tracklets=message.num_tracklets,
        num_moved=message.num_moved,
        num_skipped=message.num_skipped,
        event_keys=tuple(message.event_keys),
    )


def event_to_proto(event: LineageEvent) -> identity_pb2.IdentityEvent:
    """An event as a message, its moves counted."""
    moves = Counter((move.from_person, move.to_person) for move in event.moves)
    return identity_pb2.IdentityEvent(
        event_key=event.event_key,
        time_us=event.time_us,
        kind=event.kind,
        actor=event.actor,
        undone_by=event.undone_by or 0,
        moves=[
            identity_pb2.PersonMove(from_person=one, to_person=other, num_tracklets=count)
            for (one, other), count in sorted(moves.items())
        ],
        made=event.made,
        folded=[
            identity_pb2.PersonFold(person_id=person_id, into=into) for person_id, into in sorted(event.folded.items())
        ],
        namings=[identity_pb2.PersonNaming(**naming._asdict()) for naming in event.namings],
    )


def event_from_proto(message: identity_pb2.IdentityEvent) -> EventSummary:
    """An event from its message."""
    return EventSummary(
        event_key=message.event_key,
        time_us=message.time_us,
        kind=message.kind,
        actor=message.actor,
        undone_by=message.undone_by,
        moves=tuple((move.from_person, move.to_person, move.num_tracklets) for move in message.moves),
        made=tuple(message.made),
        folded=tuple((fold.person_id, fold.into) for fold in message.folded),
        namings=tuple(Naming(naming.person_id, naming.old_name, naming.new_name) for naming in message.namings),
    )
