"""Records in a SQL database, through SQLAlchemy Core: the same code for SQLite and PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, bindparam, func, insert, select, true, update

from reid.types import FloatArray
from server.errors import NotFoundError
from server.spaces import Spaces
from server.storage.audit import audit_page, write_audit
from server.storage.brought import brought, remeasured, write_means
from server.storage.bulk import find_rows, insert_rows, update_rows
from server.storage.database import explained, scrub
from server.storage.erasure import delete_aged, delete_old_crops, delete_old_erasures, delete_views, erase_person
from server.storage.lease import Lease, owned_change
from server.storage.lineage import confirm_persons, event_page, read_events, read_links, write_rearrangement
from server.storage.records import (
    AuditEntry,
    Changes,
    Deletion,
    Directory,
    LineageEvent,
    Link,
    Rearrangement,
    StoredObservation,
)
from server.storage.rows import POOLED_COLUMNS, pages, pooled_row, spool_row, spool_state
from server.storage.schema import cameras, observations, persons, spools, tracklets
from server.types import Actor, Camera, CameraSpan, Spool, Tracklet, TrackletName

_PAGE = 2000


class SqlRecords:
    """Implements `server.storage.records.Records`.

    Args:
        engine: Made by `open_database`; closed with this.
        lease: Checked in the transaction of every change; without one, nobody else may write to this database.

    Attributes:
        on_deleted: Told of every deletion once it is durable, in the thread that asked for it: what lies in files goes.
    """

    def __init__(self, engine: Engine, *, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease
        self.on_deleted: Callable[[Deletion], None] = _ignore

    @explained
    def commit(self, changes: Changes) -> None:
        """See `Records.commit`."""
        with owned_change(self._engine, self._lease) as connection:
            _write_names(connection, changes)
            _write_persons(connection, changes)
            _write_tracklets(connection, changes)
            if changes.observations:
                insert_rows(connection, observations, StoredObservation._fields, changes.observations)

    @explained
    def read_directory(self) -> Directory:
        """See `Records.read_directory`."""
        with self._engine.connect() as connection:
            camera_rows = connection.execute(select(cameras)).all()
            spool_rows = connection.execute(select(spools)).all()
            last_tracklet = connection.scalar(select(func.max(tracklets.c.tracklet_key)))
            last_person = connection.scalar(select(func.max(persons.c.person_id)))
            is_confirmed = persons.c.confirmed_us.is_not(None) & persons.c.folded_into.is_(None)
            confirmed = connection.scalars(
                select(persons.c.person_id).where(is_confirmed, persons.c.erased_us.is_(None))
            )
            confirmed_persons = frozenset(confirmed)
        return Directory(
            cameras={row.camera_key: Camera(row.edge_id, row.camid) for row in camera_rows},
            spools={Spool(row.edge_id, row.spool_id): spool_state(row) for row in spool_rows},
            next_tracklet_key=(last_tracklet or 0) + 1,
            next_person_id=(last_person or 0) + 1,
            confirmed_persons=confirmed_persons,
        )

    def iter_tracklets(self, spaces: Spaces, *, left_out: Counter[str] | None = None) -> Iterator[Tracklet]:
        """See `Records.iter_tracklets`."""
        last_key: int | None = 0
        while last_key is not None:
            page, last_key = self._tracklet_page(spaces, after=last_key, left_out=left_out)
            yield from page

    @explained
    def find_tracklets(self, names: Sequence[TrackletName], spaces: Spaces) -> list[Tracklet]:
        """See `Records.find_tracklets`."""
        with self._engine.connect() as connection:
            rows = list(find_rows(connection, tracklets, TrackletName._fields, names))
            return brought(connection, rows, spaces)

    @explained
    def find_overlapping(self, spans: Sequence[CameraSpan], spaces: Spaces) -> list[Tracklet]:
        """See `Records.find_overlapping`."""
        found: dict[int, Row[Any]] = {}
        with self._engine.connect() as connection:
            for span in spans:
                query = select(tracklets).where(
                    tracklets.c.camera_key == span.camera_key,
                    tracklets.c.end_us >= span.start_us,
                    tracklets.c.start_us <= span.end_us,
                )
                found.update((row.tracklet_key, row) for row in connection.execute(query))
            return brought(connection, list(found.values()), spaces)

    @explained
    def put_tracklet_means(self, space: str, means: Mapping[int, FloatArray]) -> int:
        """See `Records.put_tracklet_means`."""
        with owned_change(self._engine, self._lease) as connection:
            return write_means(connection, space, means)

    @explained
    def iter_remeasured(self, before: Spaces, after: Spaces) -> Iterator[tuple[Tracklet, Tracklet]]:
        """See `Records.iter_remeasured`."""
        return iter(self._remeasured(true(), before, after))

    @explained
    def find_remeasured(
        self, person_ids: Sequence[int], before: Spaces, after: Spaces
    ) -> list[tuple[Tracklet, Tracklet]]:
        """See `Records.find_remeasured`."""
        found: list[tuple[Tracklet, Tracklet]] = []
        for page in pages(person_ids):
            found += self._remeasured(tracklets.c.person_id.in_(page), before, after)
        return found

    @explained
    def commit_rearrangement(self, rearrangement: Rearrangement) -> int:
        """See `Records.commit_rearrangement`."""
        with owned_change(self._engine, self._lease) as connection:
            return write_rearrangement(connection, rearrangement)

    @explained
    def read_event(self, event_key: int) -> LineageEvent:
        """See `Records.read_event`."""
        with self._engine.connect() as connection:
            found = read_events(connection, [event_key])
        if not found:
            raise NotFoundError(f"there is no event {event_key} in the lineage of identities")
        return found[0]

    def iter_events(self, person_id: int, *, after: int = 0) -> Iterator[LineageEvent]:
        """See `Records.iter_events`."""
        last_key = after
        while page := self._event_page(person_id, after=last_key):
            yield from page
            last_key = page[-1].event_key

    @explained
    def read_links(self) -> list[Link]:
        """See `Records.read_links`."""
        with self._engine.connect() as connection:
            return read_links(connection)

    @explained
    def erase_person(self, person_id: int, actor: Actor, time_us: int, *, spaces: Spaces) -> Deletion:
        """See `Records.erase_person`."""
        with owned_change(self._engine, self._lease) as connection:
            deletion = erase_person(connection, person_id, time_us=time_us, spaces=spaces)
            entry = AuditEntry(
                time_us=time_us, actor=actor, what="erase", subject=f"person {person_id}", outcome="done"
            )
            write_audit(connection, entry)
        scrub(self._engine)
        self.on_deleted(deletion)
        return deletion

    @explained
    def delete_tracklets(self, *, spaces: Spaces, before_us: int, limit: int) -> Deletion:
        """See `Records.delete_tracklets`."""
        with owned_change(self._engine, self._lease) as connection:
            deletion = delete_aged(connection, before_us=before_us, limit=limit, spaces=spaces)
        self.on_deleted(deletion)
        return deletion

    @explained
    def delete_views(self, *, before_us: int, limit: int) -> int:
        """See `Records.delete_views`."""
        with owned_change(self._engine, self._lease) as connection:
            return delete_views(connection, before_us=before_us, limit=limit)

    @explained
    def delete_crops(self, *, before_us: int, limit: int) -> int:
        """See `Records.delete_crops`."""
        with owned_change(self._engine, self._lease) as connection:
            names = delete_old_crops(connection, before_us=before_us, limit=limit)
        if names:
            self.on_deleted(Deletion(tracklets=(), num_tracklets=0, num_observations=0, crops=names))
        return len(names)

    @explained
    def delete_crop_erasures(self, *, before_us: int) -> None:
        """See `Records.delete_crop_erasures`."""
        with owned_change(self._engine, self._lease) as connection:
            delete_old_erasures(connection, before_us=before_us)

    @explained
    def append_audit(self, entry: AuditEntry) -> None:
        """See `Records.append_audit`."""
        with self._engine.begin() as connection:
            write_audit(connection, entry)

    def iter_audit(self, *, since_us: int = 0) -> Iterator[AuditEntry]:
        """See `Records.iter_audit`."""
        last_key = 0
        while page := self._audit_page(since_us, after=last_key):
            yield from (entry for _, entry in page)
            last_key = page[-1][0]

    def close(self) -> None:
        """See `Records.close`."""
        self._engine.dispose()

    @explained
    def _audit_page(self, since_us: int, *, after: int) -> list[tuple[int, AuditEntry]]:
        with self._engine.connect() as connection:
            return audit_page(connection, since_us=since_us, after=after)

    @explained
    def _event_page(self, person_id: int, *, after: int) -> list[LineageEvent]:
        with self._engine.connect() as connection:
            return event_page(connection, person_id, after=after)

    @explained
    def _tracklet_page(
        self, spaces: Spaces, *, after: int, left_out: Counter[str] | None
    ) -> tuple[list[Tracklet], int | None]:
        """One page, and the key after which the next one begins; None after the last."""
        query = select(tracklets).where(tracklets.c.tracklet_key > after)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(tracklets.c.tracklet_key).limit(_PAGE)).all()
            page = brought(connection, rows, spaces)
        if left_out is not None:
            left_out.update(row.space for row in rows if not spaces.knows(row.space))
        return page, rows[-1].tracklet_key if rows else None

    def _remeasured(
        self, is_wanted: ColumnElement[bool], before: Spaces, after: Spaces
    ) -> list[tuple[Tracklet, Tracklet]]:
        with self._engine.connect() as connection:
            return list(remeasured(connection, is_wanted, before=before, after=after))


def _ignore(deletion: Deletion) -> None:
    """Nothing lies in files."""


def _write_names(connection: Connection, changes: Changes) -> None:
    if changes.new_cameras:
        rows = [{"camera_key": key, **camera._asdict()} for key, camera in changes.new_cameras.items()]
        connection.execute(insert(cameras), rows)
    if changes.new_spools:
        connection.execute(insert(spools), [spool_row(*item) for item in changes.new_spools.items()])
    if changes.changed_spools:
        columns = ("spool_key", "acked_seq", "num_observations", "last_seen_us")
        states = [attrgetter(*columns)(state) for state in changes.changed_spools.values()]
        update_rows(connection, spools, columns, states)


def _write_persons(connection: Connection, changes: Changes) -> None:
    if changes.new_persons:
        rows = [(person_id, changes.time_us) for person_id in changes.new_persons]
        insert_rows(connection, persons, ("person_id", "created_us"), rows)
    confirm_persons(connection, changes.confirmed_persons, time_us=changes.time_us)
    if changes.folded_persons:
        query = update(persons).where(persons.c.person_id == bindparam("folded")).values(folded_into=bindparam("into"))
        connection.execute(query, [{"folded": key, "into": into} for key, into in changes.folded_persons.items()])


def _write_tracklets(connection: Connection, changes: Changes) -> None:
    rows = [(*t.name, *pooled_row(t)) for t in changes.new_tracklets]
    insert_rows(connection, tracklets, (*TrackletName._fields, *POOLED_COLUMNS), rows)
    update_rows(connection, tracklets, POOLED_COLUMNS, [pooled_row(t) for t in changes.changed_tracklets])
