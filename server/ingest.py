"""Ingestion: batches in, one durable transaction, acknowledgements out. Knows no grpc.

A *step* takes batches of any number of edges and does, in this order: drop repeats, pool, match, commit, update the
gallery. What a step returns is durable. Records are the truth: when a step fails nothing of it is acknowledged, and
what memory holds is read again from the records before the next one. One thread calls `step`; `acked_seq` and the
counters may be read from others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from reid.embedding import pack_rows
from reid.types import FloatArray, IntArray, Observation, SpooledObservation
from server.counts import IngestCounts
from server.errors import StorageError
from server.gallery.gallery import NO_HIT, Gallery, Hits
from server.matching.links import Word
from server.matching.online import MatchChanges, MatchingSettings, OnlineMatcher, OpenTracklet
from server.matching.recent import RecentTracklets
from server.matching.tracklets import growth, new_tracklet
from server.storage.records import Changes, Link, Rearrangement, Records, StoredObservation
from server.types import (
    MAX_CAMERAS,
    Camera,
    CameraSpan,
    PrototypeRef,
    Spool,
    SpoolState,
    Tracklet,
    TrackletName,
    person_ids_of,
)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one message of an edge came to.

    Attributes:
        spool: Whose.
        observations: Valid ones, in order of seq.
        last_seq: Of the whole message; acknowledged once this batch is durable.
        rejected_seqs: Of observations that were judged and refused.
    """

    spool: Spool
    observations: Sequence[SpooledObservation]
    last_seq: int
    rejected_seqs: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class ServedSpace:
    """The one space whose embeddings this server takes.

    Attributes:
        space: Its name.
        dim: Numbers in an embedding.
        threshold: Least cosine of one person's tracklets in it.
    """

    space: str
    dim: int
    threshold: float


_Arrivals = dict[TrackletName, list[tuple[int, SpooledObservation]]]
"""New observations by tracklet, each with its spool_key."""


class Ingest:
    """The server's one writer. Call `restore` before the first step.

    Args:
        records: Where everything is kept.
        gallery: Prototypes of all persons; filled from the records.
        served: The space of all embeddings that come.
        matching: How identities are decided.
        clock_us: Microseconds since the Unix epoch.

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
    ) -> None:
        self.counts = IngestCounts()
        self._records = records
        self._gallery = gallery
        self._served = served
        self._matching = matching
        self._clock_us = clock_us
        self._memory_us = int(matching.memory_s * 1e6)
        self._spools: dict[Spool, SpoolState] = {}  # durable states only
        self._is_stale = True

    @property
    def num_persons(self) -> int:
        """Confirmed persons of the served space."""
        return self._matcher.persons.num_confirmed

    @property
    def num_provisional(self) -> int:
        """Provisional persons of the served space; in the midst of a step, about as many."""
        return max(0, self._matcher.persons.num_persons - self._matcher.persons.num_confirmed)

    def is_confirmed(self, person_id: int) -> bool:
        """True for a person of the served space who is not provisional. Any thread may ask."""
        return self._matcher.persons.is_confirmed(person_id)

    def spools(self) -> dict[Spool, SpoolState]:
        """How far every spool is durable."""
        return dict(self._spools)

    def acked_seq(self, spool: Spool) -> int:
        """Highest sequence number of a spool that is durable; 0 when there is none."""
        state = self._spools.get(spool)
        return state.acked_seq if state else 0

    def restore(self) -> None:
        """Read memory and gallery anew from the records.

        Raises:
            StorageError: They cannot be read.
        """
        directory = self._records.read_directory()
        self._spools = dict(directory.spools)
        self._next_spool_key = 1 + max((state.spool_key for state in self._spools.values()), default=0)
        self._camera_keys = {camera: key for key, camera in directory.cameras.items()}
        self._next_camera_key = 1 + max(directory.cameras, default=0)
        self._next_tracklet_key = directory.next_tracklet_key
        self._recent = RecentTracklets()
        matcher = OnlineMatcher(
            self._matching, threshold=self._served.threshold, next_person_id=directory.next_person_id
        )
        matcher.persons.links.replace(_words(self._records.read_links()))
        recent_from_us = self._clock_us() - self._memory_us
        for tracklet in self._records.iter_tracklets(self._served.space):
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
        changes = Changes(space=self._served.space, time_us=self._clock_us())
        duplicates, rejected, arrivals = self._admit(batches, changes)
        match = self._match(self._resolve(arrivals, changes))
        self._collect(match, arrivals, changes)
        with self.counts.commit.measure():
            self._records.commit(changes)
        self._apply(changes, match)
        self.counts.duplicates.update(duplicates)
        self.counts.rejected.update(rejected)
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

    def _admit(self, batches: Sequence[Batch], changes: Changes) -> tuple[Counter[str], Counter[str], _Arrivals]:
        """Drop repeats and move the spools on. Returns repeats and refused ones by edge_id, and what is new."""
        duplicates: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        arrivals: _Arrivals = {}
        for batch in batches:
            state = self._spool_state(batch.spool, changes)
            fresh = [spooled for spooled in batch.observations if spooled.seq > state.acked_seq]
            duplicates[batch.spool.edge_id] += len(batch.observations) - len(fresh)
            rejected[batch.spool.edge_id] += sum(seq > state.acked_seq for seq in batch.rejected_seqs)
            keys: dict[str, int] = {}
            for spooled in fresh:
                camid = spooled.observation.camid
                if camid not in keys:
                    keys[camid] = self._camera_key(Camera(batch.spool.edge_id, camid), changes)
                name = TrackletName(keys[camid], spooled.observation.tracklet_id)
                arrivals.setdefault(name, []).append((state.spool_key, spooled))
            spools = changes.changed_spools if batch.spool in self._spools else changes.new_spools
            spools[batch.spool] = replace(
                state,
                acked_seq=max(state.acked_seq, batch.last_seq),
                num_observations=state.num_observations + len(fresh),
                last_seen_us=changes.time_us,
            )
        return duplicates, rejected, arrivals

    def _resolve(self, arrivals: _Arrivals, changes: Changes) -> list[tuple[Tracklet, list[Observation]]]:
        """Find or make the tracklets that observations belong to."""
        unknown = [
            name for name in arrivals if self._recent.get(name) is None and name.camera_key not in changes.new_cameras
        ]
        self._recall(self._records.find_tracklets(unknown, self._served.space))
        resolved: list[tuple[Tracklet, list[Observation]]] = []
        for name, items in arrivals.items():
            observations = [spooled.observation for _, spooled in items]
            tracklet = self._recent.get(name) or self._make_tracklet(name, observations[0], changes)
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
            self._recall(self._records.find_overlapping(late, self._served.space))

    def _make_tracklet(self, name: TrackletName, first: Observation, changes: Changes) -> Tracklet:
        tracklet = new_tracklet(name, first, tracklet_key=self._next_tracklet_key)
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

    def _collect(self, match: MatchChanges, arrivals: _Arrivals, changes: Changes) -> None:
        """Bring everything that changed into one transaction."""
        made = {tracklet.tracklet_key for tracklet in changes.new_tracklets}
        changes.changed_tracklets = [t for key, t in match.tracklets.items() if key not in made]
        changes.new_persons = match.new_persons
        changes.confirmed_persons = match.confirmed_persons
        changes.folded_persons = match.folded_persons
        rows: list[tuple[int, int, int, Observation]] = []
        for name, items in arrivals.items():
            tracklet = self._recent.get(name)
            assert tracklet is not None
            rows += [(spool_key, seq, tracklet.tracklet_key, observation) for spool_key, (seq, observation) in items]
        contents = pack_rows([observation.embedding for *_, observation in rows])
        for (spool_key, seq, key, seen), content in zip(rows, contents, strict=True):
            changes.observations.append(
                StoredObservation(spool_key, seq, key, seen.time_us, *seen.box, seen.quality, content)
            )

    def _apply(self, changes: Changes, match: MatchChanges) -> None:
        """After the commit: let others see it, and forget what is old."""
        self._spools.update(changes.new_spools)
        self._spools.update(changes.changed_spools)
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

    def _spool_state(self, spool: Spool, changes: Changes) -> SpoolState:
        state = changes.new_spools.get(spool) or changes.changed_spools.get(spool) or self._spools.get(spool)
        if state is None:
            state = SpoolState(spool_key=self._next_spool_key)
            self._next_spool_key += 1
        return state

    def _camera_key(self, camera: Camera, changes: Changes) -> int:
        key = self._camera_keys.get(camera)
        if key is None:
            key = self._next_camera_key
            if key >= MAX_CAMERAS:
                raise StorageError(f"camera {camera}: records hold {MAX_CAMERAS - 1} cameras, the most there can be")
            self._next_camera_key += 1
            self._camera_keys[camera] = key
            changes.new_cameras[key] = camera
        return key

    def _to_vectors(self, prototypes: Mapping[PrototypeRef, FloatArray]) -> tuple[IntArray, FloatArray, IntArray]:
        """Keys, vectors and spans, as the gallery takes them."""
        keys_N = np.array([ref.prototype_key for ref in prototypes], dtype=np.int64)
        spans = [self._matcher.persons.span(ref) for ref in prototypes]
        vectors = list(prototypes.values())
        vectors_ND = np.stack(vectors) if vectors else np.empty((0, self._served.dim), dtype=np.float32)
        return keys_N, vectors_ND, np.array(spans, dtype=np.int64).reshape(len(spans), 3)


def _words(links: Iterable[Link]) -> Iterator[Word]:
    return (Word(link.one_tracklet_key, link.other_tracklet_key, link.kind == "must") for link in links)
