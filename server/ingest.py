"""Ingestion: batches in, one durable transaction, acknowledgements out. Knows no grpc.

A *step* takes batches of any number of edges and does, in this order: drop repeats, pool, match, commit, update the
gallery. What a step returns is durable. Records are the truth: when a step fails nothing of it is acknowledged, and
what memory holds is read again from the records before the next one. One thread calls `step`; `acked_seq`, `spaces` and
the counters may be read from others.

Batches are of any space that alignments join to the served one. Records keep embeddings as they came; memory, matching
and gallery are in the served space. A `SpaceMove` takes them to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import structlog

from reid.alignment import Alignments
from reid.types import FloatArray, IntArray, Observation
from server.admission import Admission, Batch
from server.arrivals import Arrivals
from server.counts import IngestCounts
from server.gallery.gallery import NO_HIT, Gallery, Hits
from server.matching.links import Word
from server.matching.online import MatchChanges, MatchingSettings, OnlineMatcher, OpenTracklet
from server.matching.recent import RecentTracklets
from server.matching.tracklets import growth, new_tracklet, pool_native
from server.space_move import SpaceMove
from server.spaces import ServedSpace, Spaces
from server.storage.records import Changes, Link, Rearrangement, Records
from server.types import CameraSpan, PrototypeRef, Spool, SpoolState, Tracklet, TrackletName, person_ids_of

logger = structlog.get_logger(__name__)


class Ingest:
    """The server's one writer. Call `restore` before the first step.

    Args:
        records: Where everything is kept.
        gallery: Prototypes of all persons; filled from the records.
        served: The space of memory and gallery.
        matching: How identities are decided.
        clock_us: Microseconds since the Unix epoch.
        alignments: Join other spaces to the served one.

    Attributes:
        counts: What the steps came to.
    """

    def __init__(
        self,
        records: Records,
        gallery: Gallery,
        *,
        served: ServedSpace,
        matching: MatchingSettings,
        clock_us: Callable[[], int],
        alignments: Alignments | None = None,
    ) -> None:
        self.counts = IngestCounts()
        self._records = records
        self._gallery = gallery
        self._spaces = Spaces(served, alignments)
        self._left_out: Counter[str] = Counter()
        self._matching = matching
        self._clock_us = clock_us
        self._memory_us = int(matching.memory_s * 1e6)
        self._is_stale = True

    @property
    def spaces(self) -> Spaces:
        """The space that memory is in, and those whose embeddings it takes. Any thread may ask."""
        return self._spaces

    @property
    def num_left_out(self) -> int:
        """Stored tracklets that memory does not hold, because nothing joins their spaces to the served one."""
        return self._left_out.total()

    @property
    def num_persons(self) -> int:
        """Confirmed persons of the known spaces."""
        return self._matcher.persons.num_confirmed

    @property
    def num_provisional(self) -> int:
        """Provisional persons of the known spaces; in the midst of a step, about as many."""
        return max(0, self._matcher.persons.num_persons - self._matcher.persons.num_confirmed)

    def is_confirmed(self, person_id: int) -> bool:
        """True for a person of the known spaces who is not provisional. Any thread may ask."""
        return self._matcher.persons.is_confirmed(person_id)

    def spools(self) -> dict[Spool, SpoolState]:
        """How far every spool is durable."""
        return dict(self._admission.spools)

    def acked_seq(self, spool: Spool) -> int:
        """Highest sequence number of a spool that is durable; 0 when there is none."""
        state = self._admission.spools.get(spool)
        return state.acked_seq if state else 0

    def restore(self) -> None:
        """Read memory and gallery anew from the records.

        Raises:
            StorageError: They cannot be read.
        """
        directory = self._records.read_directory()
        self._admission = Admission(directory)
        self._next_tracklet_key = directory.next_tracklet_key
        self._recent = RecentTracklets()
        matcher = OnlineMatcher(
            self._matching, threshold=self._spaces.served.threshold, next_person_id=directory.next_person_id
        )
        matcher.persons.links.replace(_words(self._records.read_links()))
        recent_from_us = self._clock_us() - self._memory_us
        left_out: Counter[str] = Counter()
        for tracklet in self._records.iter_tracklets(self._spaces, left_out=left_out):
            is_recent = tracklet.updated_us >= recent_from_us
            matcher.persons.load(tracklet, is_recent=is_recent)
            if is_recent:
                self._recent.keep(tracklet)
            else:
                self._recent.forget(tracklet)
        matcher.persons.confirm(directory.confirmed_persons)
        self._matcher = matcher  # searches meet the old one until here
        prototypes, _ = matcher.persons.take_changed()
        self._gallery.replace(*self._to_vectors(prototypes))
        self._is_stale = False
        self._note_left_out(left_out)
        logger.info("restored", persons=self._matcher.persons.num_persons, prototypes=len(prototypes))

    def step(self, batches: Sequence[Batch]) -> list[int]:
        """Make batches durable, and decide who their persons are.

        Returns:
            For each batch, up to which sequence number its spool is durable.

        Raises:
            StorageError: Nothing of the step is stored; try again later.
        """
        if self._is_stale:
            self.restore()
        self._is_stale = True  # until the step is whole: whatever breaks it, memory is read anew
        changes = Changes(time_us=self._clock_us())
        admitted = self._admission.admit(batches, changes)
        match = self._match(self._resolve(admitted.arrivals, changes))
        self._collect(match, admitted.arrivals, changes)
        with self.counts.commit.measure():
            self._records.commit(changes)
        self._apply(changes, match)
        self.counts.duplicates.update(admitted.duplicates)
        self.counts.rejected.update(admitted.rejected)
        self._count(changes, match)
        self._is_stale = False
        return [self.acked_seq(batch.spool) for batch in batches]

    def next_person_id(self) -> int:
        """Larger than every person_id used before.

        Raises:
            StorageError: Memory had to be read anew, and could not.
        """
        if self._is_stale:
            self.restore()
        return self._matcher.next_person_id

    def rearrange(self, rearrangement: Rearrangement, involved: Iterable[Tracklet]) -> int:
        """Make a change of identities durable, and follow it in memory.

        Args:
            rearrangement: One transaction.
            involved: Every tracklet that it moves or links, as stored.

        Returns:
            Its event_key.

        Raises:
            StorageError: Nothing of it is stored.
        """
        self._matcher.next_person_id = max(self.next_person_id(), *(key + 1 for key in (0, *rearrangement.new_persons)))
        event_key = self._records.commit_rearrangement(rearrangement)
        self._is_stale = True
        persons = self._matcher.persons
        if rearrangement.links or rearrangement.withdrawn_events:
            persons.links.replace(_words(self._records.read_links()))
        for stored in involved:
            tracklet = self._recent.get(stored.name)
            person_id = rearrangement.moves.get(stored.tracklet_key, stored.person_id)
            persons.move(tracklet or stored, person_id, is_recent=tracklet is not None)
        persons.confirm(rearrangement.confirmed_persons)
        self._show_prototypes(*persons.take_changed())
        self._is_stale = False
        return event_key

    def let_go(self, deleted: Iterable[Tracklet]) -> None:
        """Forget tracklets that the records have deleted.

        Args:
            deleted: As they were.
        """
        if self._is_stale:
            return  # memory will be read anew anyway
        self._is_stale = True
        for stored in deleted:
            tracklet = self._recent.get(stored.name)
            self._matcher.persons.detach(tracklet or stored)
            if tracklet is not None:
                self._recent.forget(tracklet)
        self._show_prototypes(*self._matcher.persons.take_changed())
        self._is_stale = False

    def know(self, alignments: Alignments) -> None:
        """Take embeddings of more spaces from now on; memory takes up at the next step what they join to it."""
        self._spaces = Spaces(self._spaces.served, alignments)
        if any(self._spaces.knows(space) for space in self._left_out):
            self._is_stale = True

    def begin_move(self, served: ServedSpace, gallery: Gallery) -> SpaceMove:
        """Begin to move to another space: `prepare` the move in any thread, meanwhile steps may go on.

        Args:
            served: A known space, with the threshold of its release.
            gallery: An empty one, which the move fills.

        Raises:
            StorageError: Memory had to be read anew, and could not.
        """
        if self._is_stale:
            self.restore()
        after = Spaces(served, self._spaces.alignments)
        persons = self._matcher.persons
        return SpaceMove(persons, self._recent, self._records, gallery, before=self._spaces, after=after)

    def finish_move(self, move: SpaceMove, remember: Callable[[], None]) -> None:
        """Be in the space that a prepared move leads to, with everything that came since it was begun.

        Args:
            move: Nothing else has moved since.
            remember: Makes it durable which space is served.

        Raises:
            StorageError: It was not made durable, and nothing has moved; or the gallery cannot be reached, and memory
                is read anew in the new space.
        """
        if self._is_stale:
            self.restore()
        move.catch_up(self._matcher.persons)
        remember()
        self._is_stale = True
        self._spaces, self._gallery = Spaces(move.after.served, self._spaces.alignments), move.gallery
        move.carry_out(self._matcher.persons, self._recent)
        self._matcher.threshold = self._spaces.served.threshold
        self._is_stale = False
        logger.info("moved", space=self._spaces.space, persons=self._matcher.persons.num_persons)

    def _note_left_out(self, left_out: Counter[str]) -> None:
        if left_out and left_out != self._left_out:
            logger.warning(
                "tracklets are left out of memory: no alignment joins their spaces to the served one",
                tracklets=left_out.total(),
                spaces=", ".join(sorted(left_out)),
                served=self._spaces.space,
            )
        self._left_out = left_out

    def _resolve(self, arrivals: Arrivals, changes: Changes) -> list[tuple[Tracklet, list[Observation]]]:
        """Find or make the tracklets that observations belong to; these in the served space."""
        unknown = [
            name for name in arrivals if self._recent.get(name) is None and name.camera_key not in changes.new_cameras
        ]
        self._recall(self._records.find_tracklets(unknown, self._spaces))
        resolved: list[tuple[Tracklet, list[Observation]]] = []
        for name, observations in arrivals.brought(self._spaces).items():
            tracklet = self._recent.get(name) or self._make_tracklet(name, observations[0], changes)
            if tracklet.native_sum is not None:
                pool_native(tracklet, arrivals.native(name))
            tracklet.updated_us = changes.time_us
            self._recent.keep(tracklet)
            resolved.append((tracklet, observations))
        self._recall_rivals(growth(tracklet, observations) for tracklet, observations in resolved)
        return resolved

    def _recall(self, stored: Iterable[Tracklet]) -> None:
        """Take back into memory what it forgot."""
        for tracklet in stored:
            if self._recent.get(tracklet.name) is None:
                self._matcher.persons.recall(tracklet)
                self._recent.keep(tracklet)

    def _recall_rivals(self, spans: Iterable[CameraSpan]) -> None:
        """Take back whatever shows somebody in these cameras at these moments: matching must see it."""
        late = [span for span in spans if self._recent.may_lack(span)]
        if late:
            self._recall(self._records.find_overlapping(late, self._spaces))

    def _make_tracklet(self, name: TrackletName, first: Observation, changes: Changes) -> Tracklet:
        is_native = name.space == self._spaces.space
        tracklet = new_tracklet(name, first, tracklet_key=self._next_tracklet_key, is_native=is_native)
        self._next_tracklet_key += 1
        changes.new_tracklets.append(tracklet)
        return tracklet

    def _match(self, resolved: Sequence[tuple[Tracklet, Sequence[Observation]]]) -> MatchChanges:
        opened = self._matcher.touch(resolved)
        self._recall_rivals(item.tracklet.span for item in opened)
        return self._matcher.decide(opened, self._candidates(opened))

    def _candidates(self, opened: Sequence[OpenTracklet]) -> list[dict[int, None]]:
        """person_ids near each, the nearest first, each once."""
        found: list[dict[int, None]] = [{} for _ in opened]
        if not opened:
            return found
        queries_QD = np.stack([item.embedding for item in opened])
        hits: Hits = self._gallery.search(queries_QD, top=self._matching.num_candidates)
        queries, ranks = np.nonzero(hits.keys_QK != NO_HIT)
        person_ids = person_ids_of(hits.keys_QK[queries, ranks]).tolist()
        for query, person_id in zip(queries.tolist(), person_ids, strict=True):
            found[query][person_id] = None
        return found

    def _collect(self, match: MatchChanges, arrivals: Arrivals, changes: Changes) -> None:
        """Bring everything that changed into one transaction."""
        made = {tracklet.tracklet_key for tracklet in changes.new_tracklets}
        changes.changed_tracklets = [t for key, t in match.tracklets.items() if key not in made]
        changes.new_persons = match.new_persons
        changes.confirmed_persons = match.confirmed_persons
        changes.folded_persons = match.folded_persons
        changes.observations = arrivals.rows([self._recent[name].tracklet_key for name in arrivals])

    def _apply(self, changes: Changes, match: MatchChanges) -> None:
        """After the commit: let others see it, and forget what is old."""
        self._admission.apply(changes)
        self._show_prototypes(match.prototypes, match.gone_prototypes)
        for tracklet in self._recent.expire(before_us=changes.time_us - self._memory_us):
            self._matcher.persons.forget(tracklet)

    def _show_prototypes(self, changed: Mapping[PrototypeRef, FloatArray], gone: Sequence[PrototypeRef]) -> None:
        self._gallery.upsert(*self._to_vectors(changed))
        self._gallery.remove([ref.prototype_key for ref in gone])

    def _count(self, changes: Changes, match: MatchChanges) -> None:
        self.counts.tracklets += len(changes.new_tracklets)
        self.counts.matches += match.num_matches
        self.counts.new_persons += len(match.new_persons)
        self.counts.confirmed_persons += len(match.confirmed_persons)
        self.counts.folds += len(match.folded_persons)

    def _to_vectors(self, prototypes: Mapping[PrototypeRef, FloatArray]) -> tuple[IntArray, FloatArray, IntArray]:
        """Keys, vectors and spans, as the gallery takes them."""
        keys_N = np.array([ref.prototype_key for ref in prototypes], dtype=np.int64)
        spans = [self._matcher.persons.span(ref) for ref in prototypes]
        vectors = list(prototypes.values())
        vectors_ND = np.stack(vectors) if vectors else np.empty((0, self._spaces.served.dim), dtype=np.float32)
        return keys_N, vectors_ND, np.array(spans, dtype=np.int64).reshape(len(spans), 3)


def _words(links: Iterable[Link]) -> Iterator[Word]:
    return (Word(link.one_tracklet_key, link.other_tracklet_key, link.kind == "must") for link in links)
