"""When and where crops that the server has were seen, and whom they show now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, select

from server.storage.bulk import find_rows
from server.storage.database import explained
from server.storage.rows import pages
from server.storage.schema import cameras, crops, tracklets
from server.types import CropName

_NAME = ("spool_key", "seq")


class Whereabouts(NamedTuple):
    """What is known of a crop; time in microseconds since the Unix epoch."""

    name: CropName
    tracklet_key: int
    person_id: int
    edge_id: str
    camid: str
    time_us: int


@explained
def read_whereabouts(engine: Engine, names: Sequence[CropName]) -> dict[CropName, Whereabouts]:
    """Those of the crops that are here; what was erased or made room is not among them.

    Raises:
        StorageError: They cannot be read.
    """
    with engine.connect() as connection:
        rows = {CropName(row.spool_key, row.seq): row for row in find_rows(connection, crops, _NAME, list(names))}
    found = dict(_tracklets(engine, sorted({row.tracklet_key for row in rows.values()})))
    return {
        name: Whereabouts(name, row.tracklet_key, *found[row.tracklet_key], row.time_us)
        for name, row in rows.items()
        if row.tracklet_key in found
    }


def _tracklets(engine: Engine, tracklet_keys: Sequence[int]) -> Iterator[tuple[int, tuple[int, str, str]]]:
    columns = tracklets.c.tracklet_key, tracklets.c.person_id, cameras.c.edge_id, cameras.c.camid
    query = select(*columns).join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
    with engine.connect() as connection:
        for page in pages(tracklet_keys):
            for row in connection.execute(query.where(tracklets.c.tracklet_key.in_(page))):
                yield row.tracklet_key, (row.person_id, row.edge_id, row.camid)
