"""Changes of identities in the database: written with what was there before, read back as events of the lineage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, insert, or_, select, update

from server.errors import StorageError
from server.storage.records import LineageEvent, Link, Move, Naming, Rearrangement
from server.storage.rows import pages
from server.storage.schema import identity_events, identity_moves, identity_persons, links, persons, tracklets
from server.types import NO_PERSON

_PAGE = 500


def write_rearrangement(connection: Connection, rearrangement: Rearrangement) -> int:
    """See `Records.commit_rearrangement`; the caller's transaction is rolled back when this raises."""
    event_key = _insert_event(connection, rearrangement)
    if rearrangement.new_persons:
        rows = [{"person_id": key, "created_us": rearrangement.time_us} for key in rearrangement.new_persons]
        connection.execute(insert(persons), rows)
    confirm_persons(connection, rearrangement.confirmed_persons, time_us=rearrangement.time_us)
    known = _read_persons(connection, _mentioned(rearrangement))
    _write_moves(connection, event_key, rearrangement)
    _write_persons(connection, event_key, rearrangement, known)
    if rearrangement.links:
        rows = [{"event_key": event_key, **link._asdict()} for link in rearrangement.links]
        connection.execute(insert(links), rows)
    _withdraw(connection, event_key, rearrangement.withdrawn_events)
    return event_key


def confirm_persons(connection: Connection, person_ids: Collection[int], *, time_us: int) -> None:
    """Make persons confirmed from now on; those who were before stay so from then on."""
    if person_ids:
        query = update(persons).where(persons.c.person_id == bindparam("key"), persons.c.confirmed_us.is_(None))
        connection.execute(query.values(confirmed_us=time_us), [{"key": person_id} for person_id in person_ids])


def read_events(connection: Connection, event_keys: Sequence[int]) -> list[LineageEvent]:
    """Those of the events that exist, in order of their key; at most a page of them."""
    chosen = identity_events.c.event_key.in_(event_keys)
    rows = connection.execute(select(identity_events).where(chosen).order_by(identity_events.c.event_key)).all()
    moves = _by_event(connection, identity_moves, event_keys)
    changes = _by_event(connection, identity_persons, event_keys)
    return [_event(row, moves[row.event_key], changes[row.event_key]) for row in rows]


def event_page(connection: Connection, person_id: int, *, after: int) -> list[LineageEvent]:
    """The next events of a person, or of all for `NO_PERSON`, after one of them."""
    query = select(identity_events.c.event_key).where(identity_events.c.event_key > after)
    if person_id != NO_PERSON:
        moved = select(identity_moves.c.event_key).where(
            or_(identity_moves.c.from_person == person_id, identity_moves.c.to_person == person_id)
        )
        changed = select(identity_persons.c.event_key).where(
            or_(identity_persons.c.person_id == person_id, identity_persons.c.other_person == person_id)
        )
        query = query.where(identity_events.c.event_key.in_(moved.union(changed)))
    page = connection.scalars(query.order_by(identity_events.c.event_key).limit(_PAGE)).all()
    return read_events(connection, page)


def read_links(connection: Connection) -> list[Link]:
    """See `Records.read_links`."""
    query = (
        select(links)
        .join(identity_events, identity_events.c.event_key == links.c.event_key)
        .where(identity_events.c.undone_by.is_(None))
        .order_by(links.c.link_key)
    )
    return [Link(row.one_tracklet_key, row.other_tracklet_key, row.kind) for row in connection.execute(query)]


def _insert_event(connection: Connection, rearrangement: Rearrangement) -> int:
    values = {"time_us": rearrangement.time_us, "kind": rearrangement.kind, "actor": rearrangement.actor}
    key = connection.execute(insert(identity_events).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _mentioned(rearrangement: Rearrangement) -> set[int]:
    """Persons that something is done to."""
    folded = rearrangement.folded_persons
    return {*rearrangement.moves.values(), *folded, *folded.values(), *rearrangement.revived_persons} | set(
        rearrangement.names
    )


def _read_persons(connection: Connection, person_ids: Collection[int]) -> dict[int, Row[Any]]:
    """The rows of living and folded persons.

    Raises:
        StorageError: One does not exist, or was erased.
    """
    found: dict[int, Row[Any]] = {}
    for page in pages(sorted(person_ids)):
        rows = connection.execute(select(persons).where(persons.c.person_id.in_(page), persons.c.erased_us.is_(None)))
        found.update((row.person_id, row) for row in rows)
    if missing := sorted(set(person_ids) - found.keys()):
        raise StorageError(f"persons {missing} cannot be changed: they do not exist, or were erased")
    return found


def _write_moves(connection: Connection, event_key: int, rearrangement: Rearrangement) -> None:
    owners: dict[int, int] = {}
    for page in pages(sorted(rearrangement.moves)):
        query = select(tracklets.c.tracklet_key, tracklets.c.person_id).where(tracklets.c.tracklet_key.in_(page))
        owners.update((row.tracklet_key, row.person_id) for row in connection.execute(query))
    if missing := sorted(rearrangement.moves.keys() - owners.keys()):
        raise StorageError(f"tracklets {missing} cannot be moved: they do not exist, or were deleted")
    moves = [Move(key, owners[key], to) for key, to in rearrangement.moves.items() if owners[key] != to]
    if not moves:
        return
    connection.execute(insert(identity_moves), [{"event_key": event_key, **move._asdict()} for move in moves])
    query_move = update(tracklets).where(tracklets.c.tracklet_key == bindparam("key"))
    connection.execute(
        query_move.values(person_id=bindparam("to")),
        [{"key": move.tracklet_key, "to": move.to_person} for move in moves],
    )


def _write_persons(
    connection: Connection, event_key: int, rearrangement: Rearrangement, known: dict[int, Row[Any]]
) -> None:
    rows = [_change(key, "made") for key in rearrangement.new_persons]
    rows += [_change(key, "folded", other_person=into) for key, into in rearrangement.folded_persons.items()]
    rows += [_change(key, "revived", other_person=known[key].folded_into) for key in rearrangement.revived_persons]
    rows += [
        _change(key, "named", old_name=known[key].name or "", new_name=name)
        for key, name in rearrangement.names.items()
    ]
    if rows:
        connection.execute(insert(identity_persons), [{"event_key": event_key, **row} for row in rows])
    for person_id, into in rearrangement.folded_persons.items():
        connection.execute(update(persons).where(persons.c.person_id == person_id).values(folded_into=into))
    for person_id in rearrangement.revived_persons:
        connection.execute(update(persons).where(persons.c.person_id == person_id).values(folded_into=None))
    for person_id, name in rearrangement.names.items():
        connection.execute(update(persons).where(persons.c.person_id == person_id).values(name=name or None))


def _change(
    person_id: int,
    change: str,
    *,
    other_person: int | None = None,
    old_name: str | None = None,
    new_name: str | None = None,
) -> dict[str, Any]:
    return {
        "person_id": person_id,
        "change": change,
        "other_person": other_person,
        "old_name": old_name,
        "new_name": new_name,
    }


def _withdraw(connection: Connection, event_key: int, withdrawn: Sequence[int]) -> None:
    for undone in withdrawn:
        can_undo = (identity_events.c.event_key == undone) & identity_events.c.undone_by.is_(None)
        done = connection.execute(update(identity_events).where(can_undo).values(undone_by=event_key))
        if not done.rowcount:
            raise StorageError(f"event {undone} cannot be undone: it does not exist, or is undone already")


def _by_event(connection: Connection, table: Table, event_keys: Sequence[int]) -> defaultdict[int, list[Row[Any]]]:
    query = select(table).where(table.c.event_key.in_(event_keys)).order_by(*table.primary_key.columns)
    found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.event_key].append(row)
    return found


def _event(row: Row[Any], moves: Iterable[Row[Any]], changes: Sequence[Row[Any]]) -> LineageEvent:
    return LineageEvent(
        event_key=row.event_key,
        time_us=row.time_us,
        kind=row.kind,
        actor=row.actor,
        moves=tuple(Move(move.tracklet_key, move.from_person, move.to_person) for move in moves),
        made=tuple(item.person_id for item in changes if item.change == "made"),
        folded={item.person_id: item.other_person for item in changes if item.change == "folded"},
        revived={item.person_id: item.other_person for item in changes if item.change == "revived"},
        namings=tuple(
            Naming(item.person_id, item.old_name or "", item.new_name or "")
            for item in changes
            if item.change == "named"
        ),
        undone_by=row.undone_by,
    )
