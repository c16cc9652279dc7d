"""Records with a few persons, for tests of what is done to them."""

from __future__ import annotations

import numpy as np

from server.spaces import ServedSpace, Spaces
from server.storage.records import Changes, StoredObservation
from server.storage.sql import SqlRecords
from server.types import Camera, Spool, SpoolState, Tracklet

SPACE = "tiny-1-0"
SPACES = Spaces(ServedSpace(space=SPACE, dim=8, threshold=0.9))
SPOOL = Spool("edge1", "spool1")


def stored_tracklet(key: int, *, person_id: int, updated_us: int = 0) -> Tracklet:
    """A tracklet with one observation, whose key is also its time."""
    return Tracklet(
        tracklet_key=key,
        camera_key=1,
        tracklet_id=100 + key,
        space=SPACE,
        start_us=key,
        end_us=key,
        num_observations=1,
        weight=1.0,
        embedding_sum=np.ones(8, dtype=np.float32),
        person_id=person_id,
        updated_us=updated_us or key,
    )


def fill(records: SqlRecords, owners: dict[int, int]) -> None:
    """Store one tracklet with one observation for each tracklet_key -> person_id, and the persons."""
    num = len(owners)
    observations = [StoredObservation(1, key, key, key, 0.0, 0.0, 1.0, 1.0, 0.5, b"\x00\x3c" * 8) for key in owners]
    records.commit(
        Changes(
            time_us=1,
            new_cameras={1: Camera("edge1", "cam1")},
            new_spools={SPOOL: SpoolState(spool_key=1, acked_seq=num, num_observations=num, last_seen_us=1)},
            observations=observations,
            new_tracklets=[stored_tracklet(key, person_id=person_id) for key, person_id in owners.items()],
            new_persons=sorted(set(owners.values())),
            confirmed_persons=sorted(set(owners.values())),
        )
    )


def owners(records: SqlRecords) -> dict[int, int]:
    """Who has which tracklet: tracklet_key -> person_id."""
    return {tracklet.tracklet_key: tracklet.person_id for tracklet in records.iter_tracklets(SPACES)}
