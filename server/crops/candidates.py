"""Tracklets whose crops can be asked for, read from the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, Engine, select

from server.crops.selection import Candidate, CropView
from server.matching.tracklets import mean_embedding
from server.spaces import Spaces
from server.storage.brought import brought
from server.storage.database import explained
from server.storage.rows import pages
from server.storage.schema import observations, spools, tracklets
from server.types import Tracklet


@explained
def read_candidates(engine: Engine, spaces: Spaces, *, since_us: int, most: int) -> list[Candidate]:
    """Tracklets of known spaces that were added to since a moment of the server's clock.

    Only observations of the newest spool of each edge count: the crops of spools before are gone with their rings.

    Args:
        engine: Made by `open_database`.
        spaces: Lead into the served space.
        since_us: From when.
        most: Latest ones; more are left out.

    Raises:
        StorageError: They cannot be read.
    """
    query = (
        select(tracklets)
        .where(tracklets.c.has_views.in_([True, False]), tracklets.c.updated_us >= since_us)
        .order_by(tracklets.c.updated_us.desc())
        .limit(most)
    )
    with engine.connect() as connection:
        found = brought(connection, connection.execute(query).all(), spaces)
        views = read_crop_views(connection, [tracklet.tracklet_key for tracklet in found])
    candidates = (_candidate(tracklet, views.get(tracklet.tracklet_key, [])) for tracklet in found)
    return [candidate for candidate in candidates if candidate.observations and np.any(candidate.embedding)]


def _candidate(tracklet: Tracklet, views: list[CropView]) -> Candidate:
    return Candidate(tracklet.tracklet_key, tracklet.camera_key, mean_embedding(tracklet), tuple(views))


def read_crop_views(connection: Connection, tracklet_keys: Sequence[int]) -> dict[int, list[CropView]]:
    """Observations of tracklets that can still have crops, in order of their numbers."""
    newest = {
        row.edge_id: row.spool_key
        for row in connection.execute(select(spools).order_by(spools.c.last_seen_us, spools.c.spool_key))
    }
    usable = frozenset(newest.values())
    columns = observations.c
    found: defaultdict[int, list[CropView]] = defaultdict(list)
    for page in pages(tracklet_keys):
        query = (
            select(columns.tracklet_key, columns.spool_key, columns.seq, columns.quality, columns.time_us)
            .where(columns.tracklet_key.in_(page))
            .order_by(columns.spool_key, columns.seq)
        )
        for row in connection.execute(query):
            if row.spool_key in usable:
                found[row.tracklet_key].append(CropView(row.spool_key, row.seq, row.quality, row.time_us))
    return found
