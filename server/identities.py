"""Changes of identities that do not come from a stream: an operator's, and those of consolidation.

Everything here runs in the writer's thread (`Writer.submit_operation`). Every change is one event of the lineage, and
every attempt is one entry of the audit log.

- A merge says that all tracklets of these persons are one person, a split that these tracklets are not the others.
  Neither online matching nor consolidation undoes that; a later word of an operator does.
- An answer to a doubtful pair says it of two tracklets alone: a merge or split where something moves, else an event of
  kind "same" or "different".
- Undoing a merge or split takes that word back and returns the tracklets. Undoing a consolidation is a word of its own:
  the next one must not do the same again.
- Never two tracklets of one person in one camera at one moment: what would bring that about is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import structlog

from reid.errors import OspreyError
from server.errors import ConflictError, NotFoundError
from server.ingest import Ingest
from server.matching.consolidation import Regrouping
from server.matching.constraints import overlapping_pairs
from server.matching.doubt import DoubtfulPair
from server.moments import moment
from server.storage.members import SqlMembers
from server.storage.records import AuditEntry, LineageEvent, Link, Rearrangement, Records, Summaries
from server.types import Actor, Tracklet

logger = structlog.get_logger(__name__)

UNDOABLE = ("merge", "split", "consolidation", "same", "different")
"""Kinds of events that can be undone."""
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityChange:
    """What an operation came to.

    Attributes:
        event_key: Of the lineage; 0 for an erasure, which leaves none.
        person_ids: Who has the tracklets now, or who was named or erased.
        num_tracklets: How many changed their person, or were erased.
    """

    event_key: int
    person_ids: tuple[int, ...]
    num_tracklets: int


class Identities:
    """Carries out changes of identities.

    Args:
        ingest: Follows them in memory.
        records: Keep them.
        members: Tracklets of the known spaces.
        summaries: Names of persons.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        ingest: Ingest,
        records: Records,
        members: SqlMembers,
        summaries: Summaries,
        *,
        clock_us: Callable[[], int],
    ) -> None:
        self._ingest = ingest
        self._records = records
        self._members = members
        self._summaries = summaries
        self._clock_us = clock_us

    def merge(self, person_ids: Sequence[int], actor: Actor) -> IdentityChange:
        """Make several persons one; the first goes on.

        Raises:
            NotFoundError: One of them does not exist.
            ConflictError: Fewer than two, or two of them were in one camera at one moment.
        """
        with self._audited("merge", f"persons {_listed(person_ids)}", actor):
            into, *others = dict.fromkeys(person_ids)
            if not others:
                raise ConflictError(f"a merge needs two persons or more, came {_listed(person_ids)}")
            members = self._living(person_ids)
            after = {tracklet.tracklet_key: into for tracklet in members}
            _check_apart(members, after)
            first, *rest = after
            return self._commit(
                Rearrangement(
                    kind="merge",
                    actor=actor.name,
                    time_us=self._clock_us(),
                    moves=_moves(members, after),
                    confirmed_persons=[into],
                    folded_persons=dict.fromkeys(others, into),
                    links=[Link(first, key, "must") for key in rest],
                    names=self._inherited_name(into, others),
                ),
                members,
            )

    def split(self, person_id: int, tracklets: Collection[tuple[str, str, int]], actor: Actor) -> IdentityChange:
        """Give some tracklets of a person to a new one.

        Args:
            person_id: Whose they are now.
            tracklets: (edge_id, camid, tracklet_id) of each.
            actor: Whose word it is.

        Raises:
            NotFoundError: The person does not exist, or has no such tracklet.
            ConflictError: None or all of the tracklets were given.
        """
        with self._audited("split", f"person {person_id}, {len(tracklets)} tracklets", actor):
            members = self._living([person_id])
            chosen = self._chosen(person_id, tracklets)
            rest = [tracklet.tracklet_key for tracklet in members if tracklet.tracklet_key not in chosen]
            if not chosen or not rest:
                raise ConflictError(
                    f"a split takes some tracklets of a person, but not all: person {person_id} has {len(members)}, "
                    f"came {len(chosen)}"
                )
            new_person = self._ingest.next_person_id()
            return self._commit(
                Rearrangement(
                    kind="split",
                    actor=actor.name,
                    time_us=self._clock_us(),
                    moves=dict.fromkeys(sorted(chosen), new_person),
                    new_persons=[new_person],
                    confirmed_persons=[person_id, new_person],
                    links=[Link(one, other, "cannot") for one in sorted(chosen) for other in rest],
                ),
                members,
            )

    def judge(self, pair: DoubtfulPair, actor: Actor, *, is_same: bool) -> IdentityChange:
        """Take an operator's word on a doubtful pair: a link between its faces, and what follows for the persons.

        Raises:
            NotFoundError: One of the persons does not exist any more.
            ConflictError: A face is somebody else's now, or they were in one camera at one moment.
        """
        one, other, said = pair.one, pair.other, "same" if is_same else "different"
        with self._audited("review", f"persons {one.person_id}, {other.person_id}: {said}", actor):
            members = self._living([one.person_id, other.person_id])
            owners = {tracklet.tracklet_key: tracklet.person_id for tracklet in members}
            if (owners.get(one.face), owners.get(other.face)) != (one.person_id, other.person_id):
                raise ConflictError("these tracklets were given to other persons since they were shown: ask anew")
            is_split, is_merge = pair.is_together and not is_same, is_same and not pair.is_together
            into = self._ingest.next_person_id() if is_split else one.person_id
            leaving = owners if is_merge else other.tracklet_keys if is_split else ()
            moves = {key: into for key in leaving if owners.get(key) == other.person_id}
            _check_apart(members, owners | moves)
            return self._commit(
                Rearrangement(
                    kind="merge" if is_merge else "split" if is_split else said,
                    actor=actor.name,
                    time_us=self._clock_us(),
                    moves=moves,
                    new_persons=[into] if is_split else [],
                    confirmed_persons=sorted({into, one.person_id, *(() if is_merge else (other.person_id,))}),
                    folded_persons={other.person_id: into} if is_merge else {},
                    links=[Link(one.face, other.face, "must" if is_same else "cannot")],
                    names=self._inherited_name(into, [other.person_id]) if is_merge else {},
                ),
                members,
            )

    def undo(self, event_key: int, actor: Actor) -> IdentityChange:
        """Return the tracklets that an event moved, as far as they are still where it put them.

        Raises:
            NotFoundError: There is no such event.
            ConflictError: It is undone already, is of a kind that cannot be, or the tracklets cannot go back.
        """
        with self._audited("undo", f"event {event_key}", actor):
            event = self._records.read_event(event_key)
            _check_undoable(event)
            back = {move.tracklet_key: move.from_person for move in event.moves}
            put = {move.tracklet_key: move.to_person for move in event.moves}
            members = self._members.read_members({*back.values(), *put.values()})
            after = {
                t.tracklet_key: back[t.tracklet_key] if put.get(t.tracklet_key) == t.person_id else t.person_id
                for t in members
            }
            _check_apart(members, after)
            before = {tracklet.tracklet_key: tracklet.person_id for tracklet in members}
            return self._commit(
                Rearrangement(
                    kind="undo",
                    actor=actor.name,
                    time_us=self._clock_us(),
                    moves=_moves(members, after),
                    confirmed_persons=sorted(set(after.values())),
                    folded_persons=_emptied(before, after),
                    revived_persons=sorted(set(after.values()) - set(before.values())),
                    links=list(_disagreements(before, after)) if event.kind == "consolidation" else (),
                    withdrawn_events=[event_key],
                    names=self._former_names(event),
                ),
                members,
            )

    def name(self, person_id: int, name: str, actor: Actor) -> IdentityChange:
        """Call a person by a name; an empty one takes it away.

        Raises:
            NotFoundError: There is no such person.
            ConflictError: The name cannot be shown on one line.
        """
        with self._audited("name", f"person {person_id}", actor):
            if len(name) > _LONGEST_NAME or (name and not name.isprintable()):
                raise ConflictError(f"a name is one line of at most {_LONGEST_NAME} characters, came {name[:40]!r}…")
            self._living([person_id])
            naming = Rearrangement(
                kind="name",
                actor=actor.name,
                time_us=self._clock_us(),
                confirmed_persons=[person_id],
                names={person_id: name.strip()},
            )
            return IdentityChange(
                event_key=self._ingest.rearrange(naming, ()), person_ids=(person_id,), num_tracklets=0
            )

    def erase(self, person_id: int, actor: Actor) -> IdentityChange:
        """Delete a person from records, memory and gallery, for ever.

        Raises:
            NotFoundError: There is no such person.
        """
        with self._audited("erase", f"person {person_id}", actor, is_logged_by_records=True):
            deletion = self._records.erase_person(person_id, actor, self._clock_us(), spaces=self._ingest.spaces)
            self._ingest.let_go(deletion.tracklets)
            return IdentityChange(event_key=0, person_ids=(person_id,), num_tracklets=deletion.num_tracklets)

    def regroup(self, regrouping: Regrouping, actor: Actor) -> IdentityChange | None:
        """Carry out a part of a consolidation; None when its persons are not as they were when it was worked out."""
        made = range(self._ingest.next_person_id(), self._ingest.next_person_id() + len(regrouping.new_persons))
        real = dict(zip(regrouping.new_persons, made, strict=True))
        persons = {*regrouping.before.values(), *regrouping.moves.values()} - real.keys()
        members = self._members.read_members(persons)
        before = {tracklet.tracklet_key: tracklet.person_id for tracklet in members}
        after = before | {key: real.get(person_id, person_id) for key, person_id in regrouping.moves.items()}
        if before != regrouping.before or _clash(members, after):
            logger.debug("persons changed since they were clustered", persons=_listed(sorted(persons)))
            return None
        with self._audited("consolidation", f"persons {_listed(sorted(persons))}", actor):
            folded = {key: real.get(into, into) for key, into in regrouping.folded_persons.items()}
            return self._commit(
                Rearrangement(
                    kind="consolidation",
                    actor=actor.name,
                    time_us=self._clock_us(),
                    moves=_moves(members, after),
                    new_persons=list(made),
                    folded_persons=folded,
                ),
                members,
            )

    def _commit(self, rearrangement: Rearrangement, members: Sequence[Tracklet]) -> IdentityChange:
        event_key = self._ingest.rearrange(rearrangement, members)
        return IdentityChange(
            event_key=event_key,
            person_ids=tuple(sorted(set(rearrangement.moves.values()))),
            num_tracklets=len(rearrangement.moves),
        )

    def _living(self, person_ids: Sequence[int]) -> list[Tracklet]:
        """All tracklets of persons that must exist."""
        members = self._members.read_members(person_ids)
        if missing := sorted(set(person_ids) - {tracklet.person_id for tracklet in members}):
            raise NotFoundError(
                f"there is no person {_listed(missing)} (or no more: 'osprey-server events' tells what became of "
                "them; 'osprey-server persons' lists those there are)"
            )
        return members

    def _chosen(self, person_id: int, tracklets: Collection[tuple[str, str, int]]) -> set[int]:
        wanted = set(tracklets)
        keys = self._members.find_keys(wanted, person_id=person_id)
        if missing := sorted(wanted - keys.keys()):
            edge_id, camid, tracklet_id = missing[0]
            raise NotFoundError(
                f"person {person_id} has no tracklet {tracklet_id} of camera {camid} of edge {edge_id} "
                f"({len(missing)} such): 'osprey-server tracklets --person {person_id}' lists those there are"
            )
        return set().union(*keys.values())

    def _inherited_name(self, into: int, others: Sequence[int]) -> dict[int, str]:
        """The name of the one who goes on, if it has none and another has one."""
        known = self._summaries.get_persons([into, *others])
        names = [known[person_id].name for person_id in (into, *others) if person_id in known]
        named = next((name for name in names if name), "")
        return {into: named} if named and named != names[0] else {}

    def _former_names(self, event: LineageEvent) -> dict[int, str]:
        known = self._summaries.get_persons([naming.person_id for naming in event.namings])
        return {
            naming.person_id: naming.old_name
            for naming in event.namings
            if naming.person_id in known and known[naming.person_id].name == naming.new_name
        }

    @contextmanager
    def _audited(self, what: str, subject: str, actor: Actor, *, is_logged_by_records: bool = False) -> Iterator[None]:
        outcome = "done"
        try:
            yield
        except OspreyError as error:
            outcome = str(error)
            raise
        except Exception as error:
            outcome = f"failed: {type(error).__name__}"
            raise
        finally:
            if outcome != "done" or not is_logged_by_records:
                self._records.append_audit(
                    AuditEntry(time_us=self._clock_us(), actor=actor, what=what, subject=subject, outcome=outcome)
                )


def _moves(members: Iterable[Tracklet], after: Mapping[int, int]) -> dict[int, int]:
    return {t.tracklet_key: after[t.tracklet_key] for t in members if t.person_id != after[t.tracklet_key]}


def _emptied(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """Persons that have nothing left -> the one that took most of it."""
    taken = Counter((person_id, after[key]) for key, person_id in before.items())
    left = set(after.values())
    emptied: dict[int, int] = {}
    for person_id, into in sorted(taken, key=lambda pair: (-taken[pair], pair)):
        if person_id not in left:
            emptied.setdefault(person_id, into)
    return emptied


def _disagreements(before: Mapping[int, int], after: Mapping[int, int]) -> Iterator[Link]:
    """What the one who undoes says: of every two tracklets that come together or apart by it."""
    moved = {key for key in before if before[key] != after[key]}
    for one in sorted(moved):
        for other in sorted(before):
            if other in moved and other <= one:
                continue
            is_together = after[one] == after[other]
            if is_together != (before[one] == before[other]):
                yield Link(one, other, "must" if is_together else "cannot")


def _clash(members: Sequence[Tracklet], after: Mapping[int, int]) -> tuple[Tracklet, Tracklet] | None:
    """Two tracklets that would be one person in one camera at one moment."""
    if not members:
        return None
    spans = np.array([tracklet.span for tracklet in members], dtype=np.int64)
    for one, other in overlapping_pairs(spans[:, 0], spans[:, 1], spans[:, 2]):
        if after[members[one].tracklet_key] == after[members[other].tracklet_key]:
            return members[one], members[other]
    return None


def _check_apart(members: Sequence[Tracklet], after: Mapping[int, int]) -> None:
    found = _clash(members, after)
    if found is not None:
        one, other = found
        met_us = max(one.start_us, other.start_us)
        raise ConflictError(
            f"tracklets {one.tracklet_id} of person {one.person_id} and {other.tracklet_id} of person "
            f"{other.person_id} are in one camera at one moment ({moment(met_us)} UTC), so they are two "
            "people: split off the wrong one first"
        )


def _check_undoable(event: LineageEvent) -> None:
    if event.undone_by is not None:
        raise ConflictError(f"event {event.event_key} was undone already, by event {event.undone_by}")
    if event.kind not in UNDOABLE:
        raise ConflictError(
            f"event {event.event_key} is of kind {event.kind!r}: {', '.join(UNDOABLE)} can be undone; do the opposite"
        )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
