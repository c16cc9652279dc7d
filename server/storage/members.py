"""Tracklets with their pooled embeddings, by the persons they belong to: what changes of identities work on."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, select

from server.storage.database import explained
from server.storage.rows import pages, to_tracklet
from server.storage.schema import cameras, tracklets
from server.types import Tracklet


class SqlMembers:
    """Reads members of persons. Any thread may call it, and every method may raise StorageError.

    Args:
        engine: Made by `open_database`.
        space: Space of the tracklets wanted.
    """

    def __init__(self, engine: Engine, *, space: str) -> None:
        self._engine = engine
        self._space = space

    @explained
    def read_members(self, person_ids: Collection[int]) -> list[Tracklet]:
        """All tracklets of some persons, in order of their key."""
        found: list[Tracklet] = []
        with self._engine.connect() as connection:
            for page in pages(sorted(person_ids)):
                query = select(tracklets).where(tracklets.c.person_id.in_(page), tracklets.c.space == self._space)
                found += [to_tracklet(row) for row in connection.execute(query)]
        return sorted(found, key=lambda tracklet: tracklet.tracklet_key)

    @explained
    def find_keys(self, names: Collection[tuple[str, str, int]], *, person_id: int) -> dict[tuple[str, str, int], int]:
        """Keys of those of the named tracklets, (edge_id, camid, tracklet_id), that belong to a person."""
        query = (
            select(cameras.c.edge_id, cameras.c.camid, tracklets.c.tracklet_id, tracklets.c.tracklet_key)
            .join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
            .where(tracklets.c.person_id == person_id, tracklets.c.space == self._space)
        )
        with self._engine.connect() as connection:
            keys = {(row.edge_id, row.camid, row.tracklet_id): row.tracklet_key for row in connection.execute(query)}
        return {name: keys[name] for name in names if name in keys}

    @explained
    def find_persons(self, *, since_us: int) -> list[int]:
        """Persons with a tracklet that was added to at or after a moment of the server's clock."""
        query = (
            select(tracklets.c.person_id)
            .where(
                tracklets.c.has_views.in_([True, False]),  # the index begins with it
                tracklets.c.updated_us >= since_us,
                tracklets.c.space == self._space,
            )
            .distinct()
        )
        with self._engine.connect() as connection:
            return sorted(connection.scalars(query))
