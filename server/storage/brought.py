"""Tracklets as memory holds them: read from their rows and brought into the served space.

A tracklet that was embedded again by the served release has its mean from there (`tracklet_means`); one that came in
the served space needs none. Tracklets of spaces that cannot be brought in are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from reid.types import FloatArray
from server.spaces import Spaces, bring_tracklets
from server.storage.rows import pages, to_tracklet
from server.storage.schema import tracklet_means, tracklets
from server.types import Tracklet

_FLOAT = np.dtype("<f4")
_PAGE = 2000


def brought(connection: Connection, rows: Sequence[Row[Any]], spaces: Spaces) -> list[Tracklet]:
    """Rows of tracklets as memory holds them, in the same order."""
    found = [to_tracklet(row) for row in rows if spaces.knows(row.space)]
    foreign = [tracklet.tracklet_key for tracklet in found if tracklet.space != spaces.space]
    if foreign:
        bring_tracklets(found, spaces, _read_means(connection, foreign, spaces.space))
    return found


def is_known(spaces: Spaces) -> ColumnElement[bool]:
    """Of tracklets that can be brought into the served space."""
    return tracklets.c.space.in_(sorted(spaces.known))


def write_means(connection: Connection, space: str, means: Mapping[int, FloatArray]) -> int:
    """See `Records.put_tracklet_means`."""
    living: list[int] = []
    for page in pages(sorted(means)):
        living += connection.scalars(select(tracklets.c.tracklet_key).where(tracklets.c.tracklet_key.in_(page)))
        is_old = tracklet_means.c.tracklet_key.in_(page) & (tracklet_means.c.space == space)
        connection.execute(delete(tracklet_means).where(is_old))
    rows = [
        {"tracklet_key": key, "space": space, "embedding": means[key].astype(_FLOAT, copy=False).tobytes()}
        for key in living
    ]
    if rows:
        connection.execute(insert(tracklet_means), rows)
    return len(rows)


def delete_means(connection: Connection, tracklet_keys: Collection[int]) -> None:
    """Delete what was embedded again of some tracklets; a page of keys."""
    connection.execute(delete(tracklet_means).where(tracklet_means.c.tracklet_key.in_(tracklet_keys)))


def remeasured(
    connection: Connection, is_wanted: ColumnElement[bool], *, before: Spaces, after: Spaces
) -> Iterator[tuple[Tracklet, Tracklet]]:
    """Tracklets that were embedded again in one of two spaces: as memory in the one, and in the other, holds them.

    Only those that both know.
    """
    has_mean = tracklets.c.tracklet_key.in_(
        select(tracklet_means.c.tracklet_key).where(tracklet_means.c.space.in_([before.space, after.space]))
    )
    last_key = 0
    while True:
        is_next = tracklets.c.tracklet_key > last_key
        query = select(tracklets).where(has_mean, is_known(before), is_known(after), is_wanted, is_next)
        rows = connection.execute(query.order_by(tracklets.c.tracklet_key).limit(_PAGE)).all()
        if not rows:
            return
        yield from zip(brought(connection, rows, before), brought(connection, rows, after), strict=True)
        last_key = rows[-1].tracklet_key


def _read_means(connection: Connection, tracklet_keys: Sequence[int], space: str) -> dict[int, FloatArray]:
    means: dict[int, FloatArray] = {}
    for page in pages(tracklet_keys):
        query = select(tracklet_means).where(tracklet_means.c.tracklet_key.in_(page), tracklet_means.c.space == space)
        for row in connection.execute(query):
            means[row.tracklet_key] = np.frombuffer(row.embedding, dtype=_FLOAT).astype(np.float32)
    return means
