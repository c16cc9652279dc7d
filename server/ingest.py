"""Ingestion: batches in, one durable transaction, acknowledgements out. Knows no grpc.

A *step* takes batches of any number of edges and does, in this order: drop repeats, pool, match, commit, update the
gallery. What a step returns is durable. Records are the truth: when a step fails nothing of it is acknowledged, and
what memory holds is read again from the records before the next one. One thread calls `step`; `acked_seq` and the
counters may be read from others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from reid.embedding import pack
from reid.types import FloatArray, IntArray, Observation, SpooledObservation
from server.errors import StorageError
from server.gallery.gallery import Gallery, Hits
from server.matching.online import Candidate, MatchChanges, MatchingSettings, OnlineMatcher, OpenTracklet
from server.matching.recent import RecentTracklets
from server.matching.tracklets import growth, new_tracklet
from server.storage.records import Changes, Records, StoredObservation
from server.types import MAX_CAMERAS, Camera, CameraSpan, PrototypeRef, Spool, SpoolState, Tracklet, TrackletName

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
        self.num_duplicates = 0
        self.num_rejected = 0
        self._records = records
        self._gallery = gallery
        self._served = served
        self._matching = matching
        self._clock_us = clock_us
        self._memory_us = int(matching.memory_s * 1e6)
        self._spools: dict[Spool, SpoolState] = {}  # durable states only
        self._is_stale = True

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
        self._matcher = OnlineMatcher(
            self._matching, threshold=self._served.threshold, next_person_id=directory.next_person_id
        )
        recent_from_us = self._clock_us() - self._memory_us
        for tracklet in self._records.iter_tracklets(self._served.space):
            is_recent = tracklet.updated_us >= recent_from_us
            self._matcher.persons.load(tracklet, is_recent=is_recent)
            if is_recent:
                self._recent.keep(tracklet)
            else:
                self._recent.forget(tracklet)
        prototypes, _ = self._matcher.persons.take_changed()
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
        num_duplicates, num_rejected, arrivals = self._admit(batches, changes)
        match = self._match(self._resolve(arrivals, changes))
        self._collect(match, arrivals, changes)
        self._records.commit(changes)
        self._apply(changes, match)
        self.num_duplicates += num_duplicates
        self.num_rejected += num_rejected
        self._is_stale = False
        return [self.acked_seq(batch.spool) for batch in batches]

    def _admit(self, batches: Sequence[Batch], changes: Changes) -> tuple[int, int, _Arrivals]:
        """Drop repeats and move the spools on. Returns repeats, refused observations, and what is new."""
        num_duplicates, num_rejected = 0, 0
        arrivals: _Arrivals = {}
        for batch in batches:
            state = self._spool_state(batch.spool, changes)
            fresh = [spooled for spooled in batch.observations if spooled.seq > state.acked_seq]
            num_duplicates += len(batch.observations) - len(fresh)
            num_rejected += sum(seq > state.acked_seq for seq in batch.rejected_seqs)
            for spooled in fresh:
                camera = Camera(batch.spool.edge_id, spooled.observation.camid)
                name = TrackletName(self._camera_key(camera, changes), spooled.observation.tracklet_id)
                arrivals.setdefault(name, []).append((state.spool_key, spooled))
            spools = changes.changed_spools if batch.spool in self._spools else changes.new_spools
            spools[batch.spool] = replace(
                state,
                acked_seq=max(state.acked_seq, batch.last_seq),
                num_observations=state.num_observations + len(fresh),
                last_seen_us=changes.time_us,
            )
        return num_duplicates, num_rejected, arrivals

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

    def _candidates(self, opened: Sequence[OpenTracklet]) -> list[list[Candidate]]:
        found: list[list[Candidate]] = [[] for _ in opened]
        if not opened:
            return found
        queries_QD = np.stack([item.embedding for item in opened])
        hits: Hits = self._gallery.search(queries_QD, top=self._matching.num_candidates)
        for query, rank in np.argwhere(hits.similarities_QK >= self._served.threshold).tolist():
            person_id = PrototypeRef.from_key(int(hits.keys_QK[query, rank])).person_id
            found[query].append(Candidate(person_id, float(hits.similarities_QK[query, rank])))
        return found

    def _collect(self, match: MatchChanges, arrivals: _Arrivals, changes: Changes) -> None:
        """Bring everything that changed into one transaction."""
        made = {tracklet.tracklet_key for tracklet in changes.new_tracklets}
        changes.changed_tracklets = [t for key, t in match.tracklets.items() if key not in made]
        changes.new_persons = match.new_persons
        changes.folded_persons = match.folded_persons
        for name, items in arrivals.items():
            tracklet = self._recent.get(name)
            assert tracklet is not None
            for spool_key, (seq, observation) in items:
                changes.observations.append(
                    StoredObservation(
                        spool_key,
                        seq,
                        tracklet.tracklet_key,
                        observation.time_us,
                        *observation.box,
                        observation.quality,
                        pack(observation.embedding),
                    )
                )

    def _apply(self, changes: Changes, match: MatchChanges) -> None:
        """After the commit: let others see it, and forget what is old."""
        self._spools.update(changes.new_spools)
        self._spools.update(changes.changed_spools)
        self._gallery.upsert(*self._to_vectors(match.prototypes))
        self._gallery.remove([ref.prototype_key for ref in match.gone_prototypes])
        for tracklet in self._recent.expire(before_us=changes.time_us - self._memory_us):
            self._matcher.persons.forget(tracklet)

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

    def _to_vectors(self, prototypes: Mapping[PrototypeRef, FloatArray]) -> tuple[IntArray, FloatArray]:
        keys_N = np.array([ref.prototype_key for ref in prototypes], dtype=np.int64)
        vectors = list(prototypes.values())
        return keys_N, np.stack(vectors) if vectors else np.empty((0, self._served.dim), dtype=np.float32)
