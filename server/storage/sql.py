"""Records in a SQL database, through SQLAlchemy Core: the same code for SQLite and PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from server.storage.database import explained
from server.storage.records import Changes, Directory
from server.storage.schema import cameras, observations, persons, spools, tracklets
from server.types import Camera, CameraSpan, Spool, SpoolState, Tracklet, TrackletName

_PAGE = 2000
_FLOAT = np.dtype("<f4")


class SqlRecords:
    """Implements `server.storage.records.Records`.

    Args:
        engine: Made by `open_database`; closed with this.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @explained
    def commit(self, changes: Changes) -> None:
        """See `Records.commit`."""
        with self._engine.begin() as connection:
            _write_names(connection, changes)
            _write_persons(connection, changes)
            _write_tracklets(connection, changes)
            if changes.observations:
                connection.execute(insert(observations), [row._asdict() for row in changes.observations])

    @explained
    def read_directory(self) -> Directory:
        """See `Records.read_directory`."""
        with self._engine.connect() as connection:
            camera_rows = connection.execute(select(cameras)).all()
            spool_rows = connection.execute(select(spools)).all()
            last_tracklet = connection.scalar(select(func.max(tracklets.c.tracklet_key)))
            last_person = connection.scalar(select(func.max(persons.c.person_id)))
        return Directory(
            cameras={row.camera_key: Camera(row.edge_id, row.camid) for row in camera_rows},
            spools={Spool(row.edge_id, row.spool_id): _spool_state(row) for row in spool_rows},
            next_tracklet_key=(last_tracklet or 0) + 1,
            next_person_id=(last_person or 0) + 1,
        )

    def iter_tracklets(self, space: str) -> Iterator[Tracklet]:
        """See `Records.iter_tracklets`."""
        last_key = 0
        while page := self._tracklet_page(space, after=last_key):
            yield from page
            last_key = page[-1].tracklet_key

    @explained
    def find_tracklets(self, names: Sequence[TrackletName], space: str) -> list[Tracklet]:
        """See `Records.find_tracklets`."""
        by_camera: defaultdict[int, list[int]] = defaultdict(list)
        for camera_key, tracklet_id in names:
            by_camera[camera_key].append(tracklet_id)
        found: list[Tracklet] = []
        with self._engine.connect() as connection:
            for camera_key, tracklet_ids in by_camera.items():  # SQLite scans the whole table for a list of pairs
                in_camera = select(tracklets).where(tracklets.c.camera_key == camera_key, tracklets.c.space == space)
                for first in range(0, len(tracklet_ids), _PAGE):
                    wanted = tracklets.c.tracklet_id.in_(tracklet_ids[first : first + _PAGE])
                    found += [_tracklet(row) for row in connection.execute(in_camera.where(wanted))]
        return found

    @explained
    def find_overlapping(self, spans: Sequence[CameraSpan], space: str) -> list[Tracklet]:
        """See `Records.find_overlapping`."""
        found: dict[int, Tracklet] = {}
        with self._engine.connect() as connection:
            for span in spans:
                query = select(tracklets).where(
                    tracklets.c.camera_key == span.camera_key,
                    tracklets.c.end_us >= span.start_us,
                    tracklets.c.start_us <= span.end_us,
                    tracklets.c.space == space,
                )
                found.update((row.tracklet_key, _tracklet(row)) for row in connection.execute(query))
        return list(found.values())

    def close(self) -> None:
        """See `Records.close`."""
        self._engine.dispose()

    @explained
    def _tracklet_page(self, space: str, *, after: int) -> list[Tracklet]:
        query = select(tracklets).where(tracklets.c.space == space, tracklets.c.tracklet_key > after)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(tracklets.c.tracklet_key).limit(_PAGE)).all()
        return [_tracklet(row) for row in rows]


def _write_names(connection: Connection, changes: Changes) -> None:
    if changes.new_cameras:
        rows = [{"camera_key": key, **camera._asdict()} for key, camera in changes.new_cameras.items()]
        connection.execute(insert(cameras), rows)
    if changes.new_spools:
        connection.execute(insert(spools), [_spool_row(*item) for item in changes.new_spools.items()])
    if changes.changed_spools:
        query = update(spools).where(spools.c.spool_key == bindparam("key"))
        values = ("acked_seq", "num_observations", "last_seen_us")
        rows = [
            {"key": state.spool_key, **{name: getattr(state, name) for name in values}}
            for state in changes.changed_spools.values()
        ]
        connection.execute(query.values({name: bindparam(name) for name in values}), rows)


def _write_persons(connection: Connection, changes: Changes) -> None:
    if changes.new_persons:
        rows = [{"person_id": person_id, "created_us": changes.time_us} for person_id in changes.new_persons]
        connection.execute(insert(persons), rows)
    if changes.folded_persons:
        query = update(persons).where(persons.c.person_id == bindparam("folded")).values(folded_into=bindparam("into"))
        connection.execute(query, [{"folded": key, "into": into} for key, into in changes.folded_persons.items()])


def _write_tracklets(connection: Connection, changes: Changes) -> None:
    if changes.new_tracklets:
        fixed = [
            {"camera_key": t.camera_key, "tracklet_id": t.tracklet_id, "space": changes.space}
            for t in changes.new_tracklets
        ]
        rows = [{**a, **_pooled_values(t)} for a, t in zip(fixed, changes.new_tracklets, strict=True)]
        connection.execute(insert(tracklets), rows)
    if changes.changed_tracklets:
        rows = [_pooled_values(tracklet) for tracklet in changes.changed_tracklets]
        for row in rows:
            row["key"] = row.pop("tracklet_key")
        query = update(tracklets).where(tracklets.c.tracklet_key == bindparam("key"))
        connection.execute(query.values({name: bindparam(name) for name in rows[0] if name != "key"}), rows)


def _pooled_values(tracklet: Tracklet) -> dict[str, Any]:
    """The columns that change as a tracklet grows, and its key."""
    return {
        "tracklet_key": tracklet.tracklet_key,
        "person_id": tracklet.person_id,
        "start_us": tracklet.start_us,
        "end_us": tracklet.end_us,
        "num_observations": tracklet.num_observations,
        "weight": tracklet.weight,
        "embedding_sum": tracklet.embedding_sum.astype(_FLOAT, copy=False).tobytes(),
        "is_closed": tracklet.is_closed,
        "updated_us": tracklet.updated_us,
    }


def _tracklet(row: Row[Any]) -> Tracklet:
    return Tracklet(
        tracklet_key=row.tracklet_key,
        camera_key=row.camera_key,
        tracklet_id=row.tracklet_id,
        start_us=row.start_us,
        end_us=row.end_us,
        num_observations=row.num_observations,
        weight=row.weight,
        embedding_sum=np.frombuffer(row.embedding_sum, dtype=_FLOAT).astype(np.float32),
        person_id=row.person_id,
        is_closed=row.is_closed,
        updated_us=row.updated_us,
    )


def _spool_row(spool: Spool, state: SpoolState) -> dict[str, Any]:
    return {
        **spool._asdict(),
        "spool_key": state.spool_key,
        "acked_seq": state.acked_seq,
        "num_observations": state.num_observations,
        "last_seen_us": state.last_seen_us,
    }


def _spool_state(row: Row[Any]) -> SpoolState:
    return SpoolState(
        spool_key=row.spool_key,
        acked_seq=row.acked_seq,
        num_observations=row.num_observations,
        last_seen_us=row.last_seen_us,
    )
