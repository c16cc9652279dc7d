"""What the server asks of its records, whatever database keeps them.

One writer calls `commit`; any thread may read. A commit is one transaction: all of it is durable, or none of it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from server.types import (
    Camera,
    CameraSpan,
    EdgeSummary,
    PersonSummary,
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
        space: Space of all embeddings in it.
        time_us: Server's clock.
        new_cameras: By key.
        new_spools: Their states at the end of the step.
        changed_spools: Likewise, of spools stored before.
        observations: New ones only: (spool_key, seq) is unique for ever.
        new_tracklets: As they are at the end of the step.
        changed_tracklets: Likewise, of tracklets stored before.
        new_persons: person_ids.
        folded_persons: person_id -> the person_id that goes on in its place.
    """

    space: str
    time_us: int
    new_cameras: dict[int, Camera] = field(default_factory=dict)
    new_spools: dict[Spool, SpoolState] = field(default_factory=dict)
    changed_spools: dict[Spool, SpoolState] = field(default_factory=dict)
    observations: list[StoredObservation] = field(default_factory=list)
    new_tracklets: list[Tracklet] = field(default_factory=list)
    changed_tracklets: list[Tracklet] = field(default_factory=list)
    new_persons: list[int] = field(default_factory=list)
    folded_persons: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Directory:
    """The small tables, whole, and the next free numbers.

    Attributes:
        cameras: By key.
        spools: State of every spool.
        next_tracklet_key: Larger than every key ever used.
        next_person_id: Larger than every person_id ever used, folded persons included.
    """

    cameras: Mapping[int, Camera]
    spools: Mapping[Spool, SpoolState]
    next_tracklet_key: int
    next_person_id: int


class Records(Protocol):
    """A store of observations, tracklets and persons, as ingestion uses it. Every method may raise StorageError."""

    def commit(self, changes: Changes) -> None:
        """Write a step in one transaction.

        Raises:
            StorageError: Nothing of it was written: disk full, locked, or the rows contradict what is stored.
        """

    def read_directory(self) -> Directory:
        """Read cameras, spools and the next free numbers."""

    def iter_tracklets(self, space: str) -> Iterator[Tracklet]:
        """All tracklets of a space, in order of their key; memory holds one page of them at a time."""

    def find_tracklets(self, names: Sequence[TrackletName], space: str) -> list[Tracklet]:
        """Those of the named tracklets that are stored in this space."""

    def find_overlapping(self, spans: Sequence[CameraSpan], space: str) -> list[Tracklet]:
        """All tracklets of this space that share a moment with one of the spans in its camera, each once."""

    def close(self) -> None:
        """Close all connections; safe to call twice."""


class Summaries(Protocol):
    """The same store, as operators ask it. Every method may raise StorageError."""

    def list_persons(self, *, after_person_id: int, limit: int) -> list[PersonSummary]:
        """Living persons with a larger person_id, in order."""

    def get_persons(self, person_ids: Sequence[int]) -> dict[int, PersonSummary]:
        """Those of the persons that exist."""

    def get_camids(self, camera_keys: Sequence[int]) -> dict[int, str]:
        """Names of cameras."""

    def read_views(self, person_ids: Sequence[int], *, space: str, most_per_person: int) -> Views:
        """The best views of each person in this space, by quality."""

    def iter_summaries(self, *, person_id: int, with_sightings: bool) -> Iterator[TrackletSummary]:
        """Tracklets of one person, or of all for `NO_PERSON`, in order of their start.

        Raises:
            NotFoundError: There is no such person.
        """

    def list_edges(self) -> list[EdgeSummary]:
        """All edges that ever stored something, in order of edge_id."""

    def totals(self) -> Totals:
        """How much is stored."""
