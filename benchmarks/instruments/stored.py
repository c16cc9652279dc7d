"""What lies in a server's records, read past the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from server.storage.schema import cameras, observations, spools, tracklets

TrackletPersons = dict[tuple[str, str, int], int]
"""(edge_id, camid, tracklet_id) -> person_id."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How records and acknowledgements differ.

    Attributes:
        stored: Rows of observations.
        lost: Observations that were acknowledged and are not there.
        duplicated: Observations that are there twice, or pooled into their tracklet more or less than once.
    """

    stored: int
    lost: int
    duplicated: int


def compare(engine: Engine, acked_seqs: Mapping[int, int]) -> Faults:
    """Hold the records against what simulated edges were told; their sequence numbers have no gaps.

    Args:
        engine: The records.
        acked_seqs: By number of the edge.
    """
    query = select(spools.c.edge_id, observations.c.seq).join(spools, spools.c.spool_key == observations.c.spool_key)
    seqs: dict[str, set[int]] = {}
    stored = 0
    with engine.connect() as connection:
        for edge_id, seq in connection.execute(query):
            stored += 1
            seqs.setdefault(edge_id, set()).add(seq)
        pooled = connection.scalar(select(func.sum(tracklets.c.num_observations))) or 0
    different = sum(map(len, seqs.values()))
    lost = sum(
        len(set(range(1, acked_seq + 1)) - seqs.get(f"edge{edge}", set())) for edge, acked_seq in acked_seqs.items()
    )
    return Faults(stored=stored, lost=lost, duplicated=stored - different + abs(int(pooled) - stored))


def read_persons(engine: Engine) -> TrackletPersons:
    """Whom every tracklet belongs to."""
    query = select(cameras.c.edge_id, cameras.c.camid, tracklets.c.tracklet_id, tracklets.c.person_id).join(
        cameras, cameras.c.camera_key == tracklets.c.camera_key
    )
    with engine.connect() as connection:
        return {(row.edge_id, row.camid, row.tracklet_id): row.person_id for row in connection.execute(query)}
