"""What operators ask of the records: persons, tracklets, edges, totals. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, exists, func, select

from reid.types import Box, FloatArray
from server.errors import NotFoundError
from server.spaces import Spaces
from server.storage.brought import is_known
from server.storage.database import explained
from server.storage.schema import cameras, observations, persons, spools, tracklets
from server.types import (
    EVERYTHING,
    NO_PERSON,
    Camera,
    EdgeSummary,
    PersonSummary,
    Scope,
    Sighting,
    Totals,
    TrackletSummary,
    Views,
)

_PAGE = 500


class SqlSummaries:
    """Implements `server.storage.records.Summaries`.

    Args:
        engine: Made by `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @explained
    def list_persons(self, *, after_person_id: int, limit: int, with_provisional: bool = False) -> list[PersonSummary]:
        """See `Summaries.list_persons`."""
        living = select(persons.c.person_id).where(persons.c.person_id > after_person_id, is_living())
        if not with_provisional:
            living = living.where(persons.c.confirmed_us.is_not(None))
        page = living.order_by(persons.c.person_id).limit(limit).subquery()
        with self._engine.connect() as connection:
            # One statement, one state of the records: a person folded meanwhile would leave the page short.
            return list(_summarise(connection, tracklets.c.person_id.in_(select(page.c.person_id))).values())

    @explained
    def get_persons(self, person_ids: Sequence[int]) -> dict[int, PersonSummary]:
        """See `Summaries.get_persons`."""
        with self._engine.connect() as connection:
            return _summarise(connection, tracklets.c.person_id.in_(person_ids))

    @explained
    def get_camids(self, camera_keys: Sequence[int]) -> dict[int, str]:
        """See `Summaries.get_camids`."""
        query = select(cameras.c.camera_key, cameras.c.camid).where(cameras.c.camera_key.in_(camera_keys))
        with self._engine.connect() as connection:
            return {row.camera_key: row.camid for row in connection.execute(query)}

    @explained
    def find_cameras(self, camids: Sequence[str]) -> frozenset[int]:
        """See `Summaries.find_cameras`."""
        query = select(cameras.c.camera_key, cameras.c.camid).where(cameras.c.camid.in_(camids))
        with self._engine.connect() as connection:
            keys = {row.camera_key: row.camid for row in connection.execute(query)}
        if missing := sorted(set(camids) - set(keys.values())):
            raise NotFoundError(
                f"no camera {missing[0]!r} has sent anything: 'osprey-server status' lists those that may"
            )
        return frozenset(keys)

    @explained
    def read_views(
        self, person_ids: Sequence[int], scope: Scope = EVERYTHING, *, spaces: Spaces, most_per_person: int
    ) -> Views:
        """See `Summaries.read_views`."""
        columns = tracklets.c.person_id, tracklets.c.camera_key, tracklets.c.space, observations.c.embedding
        place = func.row_number().over(partition_by=tracklets.c.person_id, order_by=observations.c.quality.desc())
        ranked = (
            select(*columns, place.label("place"))
            .join(observations, observations.c.tracklet_key == tracklets.c.tracklet_key)
            # "is not false", for which no index serves: SQLite would take that of has_views for a single person.
            .where(tracklets.c.person_id.in_(person_ids), is_known(spaces), tracklets.c.has_views.is_not(False))
            .where(func.length(observations.c.embedding) > 0, *_within(scope))
            .subquery()
        )
        query = select(ranked).where(ranked.c.place <= most_per_person)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return Views(
            person_ids=np.array([row.person_id for row in rows], dtype=np.int64),
            camera_keys=np.array([row.camera_key for row in rows], dtype=np.int64),
            embeddings=_embeddings(rows, spaces),
        )

    def iter_summaries(self, *, person_id: int, with_sightings: bool) -> Iterator[TrackletSummary]:
        """See `Summaries.iter_summaries`."""
        if person_id != NO_PERSON and not self.get_persons([person_id]):
            raise NotFoundError(f"there is no person {person_id}: 'osprey-server persons' lists those there are")
        last: tuple[int, int] | None = None
        while page := self._summary_page(person_id, after=last, with_sightings=with_sightings):
            for _, summary in page:
                yield summary
            last = page[-1][1].start_us, page[-1][0]

    @explained
    def list_edges(self) -> list[EdgeSummary]:
        """See `Summaries.list_edges`."""
        with self._engine.connect() as connection:
            camera_rows = connection.execute(select(cameras).order_by(cameras.c.camid)).all()
            spool_rows = connection.execute(select(spools).order_by(spools.c.edge_id, spools.c.last_seen_us)).all()
        camids, by_edge = defaultdict(list), defaultdict(list)
        for row in camera_rows:
            camids[row.edge_id].append(row.camid)
        for row in spool_rows:
            by_edge[row.edge_id].append(row)
        return [_edge_summary(edge_id, rows, camids[edge_id]) for edge_id, rows in by_edge.items()]

    @explained
    def totals(self) -> Totals:
        """See `Summaries.totals`."""
        living = select(func.count(), func.count(persons.c.confirmed_us)).select_from(persons).where(is_living())
        kept = select(func.sum(spools.c.num_observations - spools.c.num_deleted))
        with self._engine.connect() as connection:
            num_living, num_confirmed = connection.execute(living).one()
            return Totals(
                num_observations=int(connection.scalar(kept) or 0),
                num_tracklets=connection.scalar(select(func.count()).select_from(tracklets)) or 0,
                num_persons=num_confirmed,
                num_provisional=num_living - num_confirmed,
            )

    @explained
    def _summary_page(
        self, person_id: int, *, after: tuple[int, int] | None, with_sightings: bool
    ) -> list[tuple[int, TrackletSummary]]:
        """One page of (tracklet_key, summary), after (start_us, tracklet_key)."""
        with self._engine.connect() as connection:
            rows = connection.execute(_page_query(person_id, after)).all()
            sightings = _sightings(connection, [row.tracklet_key for row in rows]) if with_sightings else {}
        return [(row.tracklet_key, tracklet_summary(row, sightings.get(row.tracklet_key, ()))) for row in rows]


def _embeddings(rows: Sequence[Row[Any]], spaces: Spaces) -> FloatArray:
    """Embeddings of observations, given with their spaces, in the served space."""
    halves = np.frombuffer(b"".join(row.embedding for row in rows), dtype="<f2")
    views_ND = halves.astype(np.float32).reshape(len(rows), -1 if rows else 0)
    for space in {row.space for row in rows} - {spaces.space}:
        mine = [number for number, row in enumerate(rows) if row.space == space]
        views_ND[mine] = spaces.bring(views_ND[mine], space)
    return views_ND


def is_living() -> ColumnElement[bool]:
    """Of persons who were not folded, and of whom something is left."""
    return persons.c.folded_into.is_(None) & exists().where(tracklets.c.person_id == persons.c.person_id)


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    """Conditions on single observations."""
    if scope.is_everything:
        return []
    conditions: list[ColumnElement[bool]] = [observations.c.time_us.between(scope.start_us, scope.end_us)]
    if scope.camera_keys:
        conditions.append(tracklets.c.camera_key.in_(scope.camera_keys))
    return conditions


def tracklet_query(person_id: int) -> Select[Any]:
    """What summaries of tracklets are made of, of one person or of all for `NO_PERSON`; in no order."""
    query = select(
        tracklets.c.tracklet_key,
        tracklets.c.tracklet_id,
        tracklets.c.person_id,
        tracklets.c.start_us,
        tracklets.c.end_us,
        tracklets.c.num_observations,
        cameras.c.edge_id,
        cameras.c.camid,
    ).join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
    return query if person_id == NO_PERSON else query.where(tracklets.c.person_id == person_id)


def _page_query(person_id: int, after: tuple[int, int] | None) -> Select[Any]:
    query = tracklet_query(person_id)
    if after is not None:
        start_us, tracklet_key = after
        later = tracklets.c.start_us > start_us
        same = (tracklets.c.start_us == start_us) & (tracklets.c.tracklet_key > tracklet_key)
        query = query.where(later | same)
    return query.order_by(tracklets.c.start_us, tracklets.c.tracklet_key).limit(_PAGE)


def _summarise(connection: Connection, is_wanted: ColumnElement[bool]) -> dict[int, PersonSummary]:
    """Summaries of the persons with a wanted tracklet, in order of person_id."""
    query = (
        select(
            tracklets.c.person_id,
            persons.c.name,
            persons.c.confirmed_us,
            cameras.c.camid,
            func.count().label("num_tracklets"),
            func.sum(tracklets.c.num_observations).label("num_observations"),
            func.min(tracklets.c.start_us).label("start_us"),
            func.max(tracklets.c.end_us).label("end_us"),
        )
        .join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
        .join(persons, persons.c.person_id == tracklets.c.person_id)
        .where(is_wanted)
        .group_by(tracklets.c.person_id, persons.c.name, persons.c.confirmed_us, cameras.c.camid)
        .order_by(tracklets.c.person_id, cameras.c.camid)
    )
    by_person: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        by_person[row.person_id].append(row)
    return {person_id: _person_summary(person_id, rows) for person_id, rows in by_person.items()}


def _person_summary(person_id: int, rows: Sequence[Row[Any]]) -> PersonSummary:
    return PersonSummary(
        person_id=person_id,
        name=rows[0].name or "",
        is_provisional=rows[0].confirmed_us is None,
        camids=tuple(row.camid for row in rows),
        num_tracklets=sum(row.num_tracklets for row in rows),
        num_observations=int(sum(row.num_observations for row in rows)),
        start_us=min(row.start_us for row in rows),
        end_us=max(row.end_us for row in rows),
    )


def _sightings(connection: Connection, tracklet_keys: Sequence[int]) -> dict[int, tuple[Sighting, ...]]:
    query = (
        select(observations)
        .with_only_columns(*(column for column in observations.c if column.name != "embedding"))
        .where(observations.c.tracklet_key.in_(tracklet_keys))
        .order_by(observations.c.time_us, observations.c.spool_key, observations.c.seq)
    )
    found: defaultdict[int, list[Sighting]] = defaultdict(list)
    for row in connection.execute(query):
        box = Box(row.x1, row.y1, row.x2, row.y2)
        found[row.tracklet_key].append(Sighting(time_us=row.time_us, box=box, quality=row.quality))
    return {tracklet_key: tuple(sightings) for tracklet_key, sightings in found.items()}


def tracklet_summary(row: Row[Any], sightings: tuple[Sighting, ...] = ()) -> TrackletSummary:
    """A row of `tracklet_query`."""
    return TrackletSummary(
        camera=Camera(row.edge_id, row.camid),
        tracklet_id=row.tracklet_id,
        person_id=row.person_id,
        start_us=row.start_us,
        end_us=row.end_us,
        num_observations=row.num_observations,
        sightings=sightings,
    )


def _edge_summary(edge_id: str, rows: Sequence[Row[Any]], camids: Sequence[str]) -> EdgeSummary:
    """Of one edge's spools, the one seen last at the end."""
    return EdgeSummary(
        edge_id=edge_id,
        num_observations=sum(row.num_observations - row.num_deleted for row in rows),
        acked_seq=rows[-1].acked_seq,
        last_seen_us=rows[-1].last_seen_us,
        camids=tuple(camids),
    )
