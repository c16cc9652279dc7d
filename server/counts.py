"""What the server counts while it works, as plain integers: each has one writer, any thread may read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from reid.durations import Durations


@dataclass(slots=True, kw_only=True)
class EdgeCounts:
    """One edge's streams since the server started; observations.

    Attributes:
        received: Read from its streams, refused ones included.
        acknowledged: Of these, answered after they were durable or refused for good.
        spool_depth: How many waited in its spool behind the latest batch.
        spool_dropped: How many its spool lost to its bound, by its latest word.
        clock_offset_us: What is added to its times; 0 while its clock is right.
    """

    received: int = 0
    acknowledged: int = 0
    spool_depth: int = 0
    spool_dropped: int = 0
    clock_offset_us: int = 0


@dataclass(slots=True, kw_only=True)
class StreamCounts:
    """All streams since the server started. Written by the event loop.

    Attributes:
        edges: By edge_id.
        acknowledgement: From a batch that was read to its acknowledgement.
    """

    edges: dict[str, EdgeCounts] = field(default_factory=dict)
    acknowledgement: Durations = field(default_factory=Durations)

    def of(self, edge_id: str) -> EdgeCounts:
        """The counts of an edge, made at its first word."""
        return self.edges.setdefault(edge_id, EdgeCounts())


@dataclass(slots=True, kw_only=True)
class IngestCounts:
    """All steps since the server started, once they were durable. Written by the writer's thread.

    Attributes:
        duplicates: Observations that were stored before, by edge_id.
        rejected: Observations refused for good, by edge_id.
        tracklets: Tracklets begun.
        matches: Tracklets that joined a person known before their step.
        new_persons: Persons made.
        confirmed_persons: Persons that are no longer provisional.
        folds: Persons that went on under another person_id.
        commit: The transaction of a step.
    """

    duplicates: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    tracklets: int = 0
    matches: int = 0
    new_persons: int = 0
    confirmed_persons: int = 0
    folds: int = 0
    commit: Durations = field(default_factory=Durations)

    @property
    def num_duplicates(self) -> int:
        """Of all edges."""
        return sum(list(self.duplicates.values()))

    @property
    def num_rejected(self) -> int:
        """Of all edges."""
        return sum(list(self.rejected.values()))


@dataclass(slots=True, kw_only=True)
class WriterCounts:
    """The writer since the server started. Written by its thread.

    Attributes:
        step: A step, commit included.
        failures: Steps of which nothing was stored because the records could not be written.
        failed_at_s: When the last step was one of these, `time.monotonic`; -inf when it was not.
    """

    step: Durations = field(default_factory=Durations)
    failures: int = 0
    failed_at_s: float = float("-inf")
