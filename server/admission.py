"""Which observations are new, and what their spools, cameras and tracklets are called. Knows no grpc."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reid.types import SpooledObservation
from server.arrivals import Arrivals
from server.errors import StorageError
from server.storage.records import Changes, Directory
from server.types import MAX_CAMERAS, Camera, Spool, SpoolState, TrackletName


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one message of an edge came to.

    Attributes:
        spool: Whose.
        space: Of its embeddings; a known one.
        observations: Valid ones, in order of seq.
        last_seq: Of the whole message; acknowledged once this batch is durable.
        rejected_seqs: Of observations that were judged and refused.
    """

    spool: Spool
    space: str
    observations: Sequence[SpooledObservation]
    last_seq: int
    rejected_seqs: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """What is new in some batches.

    Attributes:
        arrivals: The observations.
        duplicates: How many were not new, by edge_id.
        rejected: How many of those that are new were refused, by edge_id.
    """

    arrivals: Arrivals
    duplicates: Counter[str]
    rejected: Counter[str]


class Admission:
    """Drops repeats, and gives keys to spools and cameras that send for the first time.

    Args:
        directory: What is durable.

    Attributes:
        spools: Durable states only.
    """

    def __init__(self, directory: Directory) -> None:
        self.spools = dict(directory.spools)
        self._next_spool_key = 1 + max((state.spool_key for state in self.spools.values()), default=0)
        self._camera_keys = {camera: key for key, camera in directory.cameras.items()}
        self._next_camera_key = 1 + max(directory.cameras, default=0)

    def admit(self, batches: Sequence[Batch], changes: Changes) -> Admitted:
        """Note in the changes how far the spools have come, and return what is new.

        Raises:
            StorageError: There can be no more cameras.
        """
        admitted = Admitted(arrivals=Arrivals(), duplicates=Counter(), rejected=Counter())
        for batch in batches:
            state = self._spool_state(batch.spool, changes)
            fresh = [spooled for spooled in batch.observations if spooled.seq > state.acked_seq]
            admitted.duplicates[batch.spool.edge_id] += len(batch.observations) - len(fresh)
            admitted.rejected[batch.spool.edge_id] += sum(seq > state.acked_seq for seq in batch.rejected_seqs)
            self._take(fresh, batch, state, admitted.arrivals, changes)
            spools = changes.changed_spools if batch.spool in self.spools else changes.new_spools
            spools[batch.spool] = replace(
                state,
                acked_seq=max(state.acked_seq, batch.last_seq),
                num_observations=state.num_observations + len(fresh),
                last_seen_us=changes.time_us,
            )
        return admitted

    def apply(self, changes: Changes) -> None:
        """Take note that changes are durable."""
        self.spools.update(changes.new_spools)
        self.spools.update(changes.changed_spools)

    def _take(
        self,
        fresh: Sequence[SpooledObservation],
        batch: Batch,
        state: SpoolState,
        arrivals: Arrivals,
        changes: Changes,
    ) -> None:
        keys: dict[str, int] = {}
        for spooled in fresh:
            camid = spooled.observation.camid
            if camid not in keys:
                keys[camid] = self._camera_key(Camera(batch.spool.edge_id, camid), changes)
            name = TrackletName(keys[camid], spooled.observation.tracklet_id, batch.space)
            arrivals.add(name, state.spool_key, spooled)

    def _spool_state(self, spool: Spool, changes: Changes) -> SpoolState:
        state = changes.new_spools.get(spool) or changes.changed_spools.get(spool) or self.spools.get(spool)
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
