"""Tracklets with their pooled embeddings, by the persons they belong to: what changes of identities work on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection

from sqlalchemy import Engine, select

from server.spaces import Spaces
from server.storage.brought import brought, is_known
from server.storage.database import explained
from server.storage.rows import pages
from server.storage.schema import cameras, tracklets
from server.types import Tracklet


class SqlMembers:
    """Reads members of persons. Any thread may call it, and every method may raise StorageError.

    Args:
        engine: Made by `open_database`.
        spaces: Gives what the server knows now; tracklets come in the space that it serves.
    """

    def __init__(self, engine: Engine, *, spaces: Callable[[], Spaces]) -> None:
        self._engine = engine
        self._spaces = spaces

    @explained
    def read_members(self, person_ids: Collection[int], spaces: Spaces | None = None) -> list[Tracklet]:
        """All tracklets of some persons, in order of their key.

        Args:
            person_ids: Whose.
            spaces: Brings them into the space that it serves; by default, the one served now.
        """
        found: list[Tracklet] = []
        spaces = spaces or self._spaces()
        with self._engine.connect() as connection:
            for page in pages(sorted(person_ids)):
                rows = connection.execute(select(tracklets).where(tracklets.c.person_id.in_(page))).all()
                found += brought(connection, rows, spaces)
        return sorted(found, key=lambda tracklet: tracklet.tracklet_key)

    @explained
    def find_keys(
        self, names: Collection[tuple[str, str, int]], *, person_id: int
    ) -> dict[tuple[str, str, int], set[int]]:
        """Keys of those of the named tracklets, (edge_id, camid, tracklet_id), that belong to a person.

        More than one for a name that an edge used in two spaces.
        """
        query = (
            select(cameras.c.edge_id, cameras.c.camid, tracklets.c.tracklet_id, tracklets.c.tracklet_key)
            .join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
            .where(tracklets.c.person_id == person_id, is_known(self._spaces()))
        )
        keys: defaultdict[tuple[str, str, int], set[int]] = defaultdict(set)
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                keys[row.edge_id, row.camid, row.tracklet_id].add(row.tracklet_key)
        return {name: keys[name] for name in names if name in keys}

    @explained
    def find_persons(self, *, since_us: int) -> list[int]:
        """Persons with a tracklet that was added to at or after a moment of the server's clock."""
        query = (
            select(tracklets.c.person_id)
            .where(
                tracklets.c.has_views.in_([True, False]),  # the index begins with it
                tracklets.c.updated_us >= since_us,
                is_known(self._spaces()),
            )
            .distinct()
        )
        with self._engine.connect() as connection:
            return sorted(connection.scalars(query))
