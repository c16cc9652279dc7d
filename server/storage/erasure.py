"""Deleting for good: what aged out, and everything of a person who is to be erased.

A tracklet goes with its observations, links, moves, crops and what was embedded again of it. Persons stay as rows, so
that no person_id is used twice, and lose their names when nothing else is left of them. Spools count what was deleted
of them, since sequence numbers that were acknowledged stay so. Of an erased person, the numbers of observations stay
until their edges have said that they have no crops of these any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, literal, or_, select, update

from server.errors import NotFoundError
from server.spaces import Spaces
from server.storage.brought import brought, delete_means
from server.storage.records import Deletion
from server.storage.rows import pages
from server.storage.schema import (
    crop_erasures,
    crops,
    identity_moves,
    identity_persons,
    links,
    observations,
    persons,
    spools,
    tracklets,
)
from server.types import CropName

RING_US = 30 * 86_400 * 1_000_000
"""No edge keeps a crop for longer, by its own settings."""


def delete_aged(connection: Connection, *, before_us: int, limit: int, spaces: Spaces) -> Deletion:
    """See `Records.delete_tracklets`."""
    found: list[Row[Any]] = []
    for has_views in (False, True):  # one after the other: each reads the index in order, and no further than needed
        query = (
            select(tracklets)
            .where(tracklets.c.has_views == has_views, tracklets.c.updated_us < before_us)
            .order_by(tracklets.c.updated_us)
            .limit(limit - len(found))
        )
        found += connection.execute(query).all()
    deletion = _delete(connection, found, spaces)
    _forget_names(connection, {row.person_id for row in found})
    return deletion


def delete_views(connection: Connection, *, before_us: int, limit: int) -> int:
    """See `Records.delete_views`."""
    query = (
        select(tracklets.c.tracklet_key)
        .where(tracklets.c.has_views, tracklets.c.updated_us < before_us)
        .order_by(tracklets.c.updated_us)
        .limit(limit)
    )
    aged = connection.scalars(query).all()
    for page in pages(aged):
        connection.execute(update(observations).where(observations.c.tracklet_key.in_(page)).values(embedding=b""))
        connection.execute(update(tracklets).where(tracklets.c.tracklet_key.in_(page)).values(has_views=False))
    return len(aged)


def delete_old_crops(connection: Connection, *, before_us: int, limit: int) -> list[CropName]:
    """See `Records.delete_crops`; gives their names."""
    oldest = select(crops).where(crops.c.received_us < before_us).order_by(crops.c.received_us).limit(limit)
    names = [CropName(row.spool_key, row.seq) for row in connection.execute(oldest)]
    for name in names:
        connection.execute(delete(crops).where(crops.c.spool_key == name.spool_key, crops.c.seq == name.seq))
    return names


def delete_old_erasures(connection: Connection, *, before_us: int) -> None:
    """See `Records.delete_crop_erasures`."""
    connection.execute(delete(crop_erasures).where(crop_erasures.c.erased_us < before_us))


def erase_person(connection: Connection, person_id: int, *, time_us: int, spaces: Spaces) -> Deletion:
    """Delete all of a person, and of those folded into them; see `Records.erase_person`."""
    _check_erasable(connection, person_id)
    person_ids = _with_folded(connection, person_id)
    found: list[Row[Any]] = []
    for page in pages(person_ids):
        found += connection.execute(select(tracklets).where(tracklets.c.person_id.in_(page))).all()
    _note_erasures(connection, [row.tracklet_key for row in found if row.updated_us >= time_us - RING_US], time_us)
    deletion = _delete(connection, found, spaces)
    for page in pages(person_ids):
        connection.execute(update(persons).where(persons.c.person_id.in_(page)).values(erased_us=time_us))
    _forget_names(connection, person_ids)
    return deletion


def _note_erasures(connection: Connection, tracklet_keys: Sequence[int], time_us: int) -> None:
    """Remember which crops of these tracklets an edge may have."""
    erased_us = literal(time_us, crop_erasures.c.erased_us.type)
    names = select(observations.c.spool_key, observations.c.seq, erased_us)
    for page in pages(tracklet_keys):
        mine = names.where(observations.c.tracklet_key.in_(page))
        connection.execute(insert(crop_erasures).from_select(["spool_key", "seq", "erased_us"], mine))


def _check_erasable(connection: Connection, person_id: int) -> None:
    row = connection.execute(select(persons).where(persons.c.person_id == person_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no person {person_id}: 'osprey-server persons' lists those there are")
    if row.erased_us is not None:
        raise NotFoundError(f"person {person_id} was erased before")
    if row.folded_into is not None:
        raise NotFoundError(f"person {person_id} goes on as person {row.folded_into}: erase that one")


def _with_folded(connection: Connection, person_id: int) -> list[int]:
    """A person, those folded into them, those folded into these, and so on."""
    found, new = [person_id], [person_id]
    while new:
        query = select(persons.c.person_id).where(persons.c.folded_into.in_(new))
        new = [key for key in connection.scalars(query) if key not in found]
        found += new
    return found


def _delete(connection: Connection, found: Sequence[Row[Any]], spaces: Spaces) -> Deletion:
    """Delete tracklets, given as their rows, with all that hangs on them."""
    deleted: Counter[int] = Counter()
    held = brought(connection, found, spaces)
    removed: list[CropName] = []
    for page in pages([row.tracklet_key for row in found]):
        mine = observations.c.tracklet_key.in_(page)
        counts = select(observations.c.spool_key, func.count().label("num")).where(mine)
        deleted.update(
            {row.spool_key: row.num for row in connection.execute(counts.group_by(observations.c.spool_key))}
        )
        connection.execute(delete(observations).where(mine))
        connection.execute(delete(identity_moves).where(identity_moves.c.tracklet_key.in_(page)))
        connection.execute(
            delete(links).where(or_(links.c.one_tracklet_key.in_(page), links.c.other_tracklet_key.in_(page)))
        )
        delete_means(connection, page)
        removed += _delete_crops(connection, crops.c.tracklet_key.in_(page))
        connection.execute(delete(tracklets).where(tracklets.c.tracklet_key.in_(page)))
    for spool_key, count in deleted.items():
        more = update(spools).where(spools.c.spool_key == spool_key)
        connection.execute(more.values(num_deleted=spools.c.num_deleted + count))
    return Deletion(
        tracklets=held,
        num_tracklets=len(found),
        num_observations=deleted.total(),
        tracklet_keys=[row.tracklet_key for row in found],
        crops=removed,
    )


def _delete_crops(connection: Connection, is_unwanted: ColumnElement[bool]) -> list[CropName]:
    """Delete rows of crops; gives their names."""
    rows = connection.execute(select(crops.c.spool_key, crops.c.seq).where(is_unwanted)).all()
    connection.execute(delete(crops).where(is_unwanted))
    return [CropName(row.spool_key, row.seq) for row in rows]


def _forget_names(connection: Connection, person_ids: Iterable[int]) -> None:
    """Delete the names, old ones too, of those persons who have no tracklet left."""
    has_tracklet = exists().where(tracklets.c.person_id == persons.c.person_id)
    for page in pages(sorted(person_ids)):
        query = select(persons.c.person_id).where(persons.c.person_id.in_(page), ~has_tracklet)
        bare = connection.scalars(query).all()
        connection.execute(update(persons).where(persons.c.person_id.in_(bare)).values(name=None))
        mine = identity_persons.c.person_id.in_(bare)
        connection.execute(update(identity_persons).where(mine).values(old_name=None, new_name=None))
