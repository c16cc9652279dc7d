"""What the server asks of its records, whatever database keeps them.

One writer calls what changes observations, tracklets and persons; any thread may read, and add to the audit log. A
change is one transaction: all of it is durable, or none of it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from reid.types import FloatArray
from server.spaces import Spaces
from server.types import (
    EVERYTHING,
    Actor,
    Camera,
    CameraSpan,
    CropName,
    EdgeSummary,
    PersonSummary,
    Scope,
    Spool,
    SpoolState,
    Totals,
    Tracklet,
    TrackletName,
    TrackletSummary,
    Views,
)


class StoredObservation(NamedTuple):
    """One row of observations; `embedding` holds D little-endian halves. Field names are column names."""

    spool_key: int
    seq: int
    tracklet_key: int
    time_us: int
    x1: float
    y1: float
    x2: float
    y2: float
    quality: float
    embedding: bytes


@dataclass(kw_only=True)
class Changes:
    """Everything that one step writes, in one transaction.

    Attributes:
        time_us: Server's clock.
        new_cameras: By key.
        new_spools: Their states at the end of the step.
        changed_spools: Likewise, of spools stored before.
        observations: New ones only: (spool_key, seq) is unique for ever.
        new_tracklets: As they are at the end of the step.
        changed_tracklets: Likewise, of tracklets stored before.
        new_persons: person_ids.
        confirmed_persons: Those that are no longer provisional; no harm in saying so twice.
        folded_persons: person_id -> the person_id that goes on in its place.
    """

    time_us: int
    new_cameras: dict[int, Camera] = field(default_factory=dict)
    new_spools: dict[Spool, SpoolState] = field(default_factory=dict)
    changed_spools: dict[Spool, SpoolState] = field(default_factory=dict)
    observations: list[StoredObservation] = field(default_factory=list)
    new_tracklets: list[Tracklet] = field(default_factory=list)
    changed_tracklets: list[Tracklet] = field(default_factory=list)
    new_persons: list[int] = field(default_factory=list)
    confirmed_persons: list[int] = field(default_factory=list)
    folded_persons: dict[int, int] = field(default_factory=dict)


class Link(NamedTuple):
    """What an operator, or a sure match, says of two tracklets: one person ("must"), or two ("cannot")."""

    one_tracklet_key: int
    other_tracklet_key: int
    kind: Literal["must", "cannot"]


class Move(NamedTuple):
    """A tracklet that changed its person."""

    tracklet_key: int
    from_person: int
    to_person: int


class Naming(NamedTuple):
    """A person who got another name; empty for none."""

    person_id: int
    old_name: str
    new_name: str


@dataclass(frozen=True, kw_only=True)
class Rearrangement:
    """A change of identities that does not come from a stream; committed whole, as one event of the lineage.

    Attributes:
        kind: What it is, such as "merge", "split", "undo", "name" or "consolidation".
        actor: Whose word it is: the name of an `Actor`.
        time_us: Server's clock.
        moves: tracklet_key -> the person it belongs to from now on. A tracklet that is already there is no move.
        new_persons: person_ids made by it.
        confirmed_persons: person_ids that an operator spoke of: no longer provisional, and never again.
        folded_persons: person_id -> the person_id that goes on in its place.
        revived_persons: person_ids that were folded, and go on as themselves again.
        links: Hold while this event is not undone.
        withdrawn_events: event_keys that this undoes: marked so, and their links no longer hold. What they moved,
            folded and named must be put back by the other fields.
        names: person_id -> new name, empty for none.
    """

    kind: str
    actor: str
    time_us: int
    moves: Mapping[int, int] = field(default_factory=dict)
    new_persons: Sequence[int] = ()
    confirmed_persons: Sequence[int] = ()
    folded_persons: Mapping[int, int] = field(default_factory=dict)
    revived_persons: Sequence[int] = ()
    links: Sequence[Link] = ()
    withdrawn_events: Sequence[int] = ()
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEvent:
    """A `Rearrangement` as it is stored, with what was there before it.

    Attributes:
        event_key: Rises with every event.
        time_us: Server's clock.
        kind: As given.
        actor: As given.
        moves: In order of tracklet_key; tracklets deleted since are gone from it.
        made: person_ids.
        folded: person_id -> into whom.
        revived: person_id -> out of whom.
        namings: Names before and after; both empty once the person is erased.
        undone_by: event_key of its undoing, or None.
    """

    event_key: int
    time_us: int
    kind: str
    actor: str
    moves: tuple[Move, ...] = ()
    made: tuple[int, ...] = ()
    folded: Mapping[int, int] = field(default_factory=dict)
    revived: Mapping[int, int] = field(default_factory=dict)
    namings: tuple[Naming, ...] = ()
    undone_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what. Holds ids, never a person's name or picture: it outlives an erasure.

    Attributes:
        time_us: Server's clock.
        actor: Who.
        what: The operation, such as "merge" or "search".
        subject: What it was done to, such as "persons 3, 7".
        outcome: "done", or why not.
    """

    time_us: int
    actor: Actor
    what: str
    subject: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What a step of retention, or an erasure, took away.

    Attributes:
        tracklets: As memory held them, and must let go of them: those of spaces that it knows.
        num_tracklets: Of all spaces.
        num_observations: Deleted with them.
        tracklet_keys: Of all spaces.
        crops: Names of the crops whose rows went; their files are still there.
    """

    tracklets: Sequence[Tracklet]
    num_tracklets: int
    num_observations: int
    tracklet_keys: Sequence[int] = ()
    crops: Sequence[CropName] = ()


@dataclass(frozen=True, kw_only=True)
class Directory:
    """The small tables, whole, and the next free numbers.

    Attributes:
        cameras: By key.
        spools: State of every spool.
        next_tracklet_key: Larger than every key ever used.
        next_person_id: Larger than every person_id ever used, folded persons included.
        confirmed_persons: person_ids of living persons who are not provisional.
    """

    cameras: Mapping[int, Camera]
    spools: Mapping[Spool, SpoolState]
    next_tracklet_key: int
    next_person_id: int
    confirmed_persons: frozenset[int] = frozenset()


class Records(Protocol):
    """A store of observations, tracklets and persons, as ingestion uses it. Every method may raise StorageError.

    Attributes:
        on_deleted: Told of every deletion once it is durable, in the thread that asked for it: what lies in files goes.
    """

    on_deleted: Callable[[Deletion], None]

    def commit(self, changes: Changes) -> None:
        """Write a step in one transaction.

        Raises:
            StorageError: Nothing of it was written: disk full, locked, or the rows contradict what is stored.
        """

    def read_directory(self) -> Directory:
        """Read cameras, spools and the next free numbers."""

    def iter_tracklets(self, spaces: Spaces, *, left_out: Counter[str] | None = None) -> Iterator[Tracklet]:
        """All tracklets of the known spaces, in order of their key; memory holds one page of them at a time.

        Args:
            spaces: Where they are brought.
            left_out: Told how many there are of each other space.
        """

    def find_tracklets(self, names: Sequence[TrackletName], spaces: Spaces) -> list[Tracklet]:
        """Those of the named tracklets that are stored, and of known spaces."""

    def find_overlapping(self, spans: Sequence[CameraSpan], spaces: Spaces) -> list[Tracklet]:
        """All tracklets of known spaces that share a moment with one of the spans in its camera, each once."""

    def put_tracklet_means(self, space: str, means: Mapping[int, FloatArray]) -> int:
        """Keep what tracklets look like in a space, embedded again from their crops; what was kept there is replaced.

        Memory takes them up when it moves to that space, so they must be there before. Tracklets that were deleted
        meanwhile are passed over.

        Args:
            space: Of the release that embedded them.
            means: tracklet_key -> (D,) float32, unit norm.

        Returns:
            How many were kept.
        """

    def iter_remeasured(self, before: Spaces, after: Spaces) -> Iterator[tuple[Tracklet, Tracklet]]:
        """Tracklets that were embedded again in one of two served spaces, as memory in each of them holds them."""

    def find_remeasured(
        self, person_ids: Sequence[int], before: Spaces, after: Spaces
    ) -> list[tuple[Tracklet, Tracklet]]:
        """Those of `iter_remeasured` that belong to some persons."""

    def commit_rearrangement(self, rearrangement: Rearrangement) -> int:
        """Write a change of identities in one transaction.

        Returns:
            event_key of the lineage event that it became.

        Raises:
            StorageError: Nothing of it was written: it names a tracklet, person or event that does not exist, an
                erased person, or an event that is undone already.
        """

    def read_event(self, event_key: int) -> LineageEvent:
        """Read one event of the lineage.

        Raises:
            NotFoundError: There is no such event.
        """

    def iter_events(self, person_id: int, *, after: int = 0) -> Iterator[LineageEvent]:
        """Events that made, folded, revived, named, or moved tracklets to or from a person, oldest first.

        For `NO_PERSON`, those of all. Only those with a larger event_key than `after`.
        """

    def read_links(self) -> list[Link]:
        """All links that hold, oldest first."""

    def erase_person(self, person_id: int, actor: Actor, time_us: int, *, spaces: Spaces) -> Deletion:
        """Delete everything that is kept of a person, and of those folded into them, for ever.

        Observations, tracklets, their links and moves, and names are deleted; an empty row keeps the person_id from
        being used again, and the audit log says who erased it. Memory must let go of the tracklets.

        Raises:
            NotFoundError: There is no such person, or they were folded into another, or erased.
        """

    def delete_tracklets(self, *, spaces: Spaces, before_us: int, limit: int) -> Deletion:
        """Delete tracklets that were last added to before a moment of the server's clock, with all that hangs on them.

        Args:
            spaces: What memory knows.
            before_us: Older ones go, oldest first.
            limit: Most tracklets; fewer were deleted when no more are that old.
        """

    def delete_views(self, *, before_us: int, limit: int) -> int:
        """Delete the embeddings of single observations, of tracklets that were last added to before a moment.

        Times, boxes and the pooled embedding of the tracklet stay. Returns the number of tracklets, at most `limit`.
        """

    def delete_crops(self, *, before_us: int, limit: int) -> int:
        """Delete crops that came before a moment of the server's clock, the oldest first; gives how many."""

    def delete_crop_erasures(self, *, before_us: int) -> None:
        """Remember no longer which crops edges were to forget since before a moment of the server's clock."""

    def append_audit(self, entry: AuditEntry) -> None:
        """Add to the audit log; durable when this returns. Any thread may call it."""

    def iter_audit(self, *, since_us: int = 0) -> Iterator[AuditEntry]:
        """The audit log from a moment on, oldest first."""

    def close(self) -> None:
        """Close all connections; safe to call twice."""


class Summaries(Protocol):
    """The same store, as operators ask it. Every method may raise StorageError."""

    def list_persons(self, *, after_person_id: int, limit: int, with_provisional: bool = False) -> list[PersonSummary]:
        """Living persons with a larger person_id, in order; provisional ones only if they are asked for."""

    def get_persons(self, person_ids: Sequence[int]) -> dict[int, PersonSummary]:
        """Those of the persons that exist."""

    def get_camids(self, camera_keys: Sequence[int]) -> dict[int, str]:
        """Names of cameras."""

    def find_cameras(self, camids: Sequence[str]) -> frozenset[int]:
        """Keys of the cameras of these names, of all edges.

        Raises:
            NotFoundError: No edge has a camera of one of the names.
        """

    def read_views(
        self, person_ids: Sequence[int], scope: Scope = EVERYTHING, *, spaces: Spaces, most_per_person: int
    ) -> Views:
        """The best views of each person in this scope, by quality, brought into the served space."""

    def iter_summaries(self, *, person_id: int, with_sightings: bool) -> Iterator[TrackletSummary]:
        """Tracklets of one person, or of all for `NO_PERSON`, in order of their start.

        Raises:
            NotFoundError: There is no such person.
        """

    def list_edges(self) -> list[EdgeSummary]:
        """All edges that ever stored something, in order of edge_id."""

    def totals(self) -> Totals:
        """How much is stored."""
