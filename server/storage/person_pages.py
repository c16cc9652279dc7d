"""What pages show of persons: a filtered list by pages, tracklets with their keys, crops that are here. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Select, bindparam, exists, func, or_, select

from server.storage.database import explained
from server.storage.rows import pages
from server.storage.schema import cameras, crops, observations, persons, tracklets
from server.storage.summaries import is_living, tracklet_query, tracklet_summary
from server.types import EVERYTHING, CropName, Scope, TrackletSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFilter:
    """Which persons to list.

    Attributes:
        text: A part of the name, or the whole number; empty for all.
        scope: Seen there and then.
        with_provisional: Provisional ones too.
        only_named: Only those with a name.
    """

    text: str = ""
    scope: Scope = EVERYTHING
    with_provisional: bool = False
    only_named: bool = False


class KeyedTracklet(NamedTuple):
    """A tracklet with the key of its row."""

    tracklet_key: int
    summary: TrackletSummary


class Fate(NamedTuple):
    """What became of a person; `folded_into`: whom they are a part of by now, None for one who goes on or is erased."""

    folded_into: int | None
    is_erased: bool


class SqlPersonPages:
    """Reads for pages. Any thread may call it, and every method may raise StorageError.

    Args:
        engine: Made by `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @explained
    def list_ids(self, wanted: PersonFilter, *, limit: int, below: int = 0, above: int = 0) -> list[int]:
        """One page of person_ids, the newest first.

        Args:
            wanted: Which.
            limit: Most of them.
            below: Only smaller ones; 0 for no bound.
            above: Only larger ones, those next to it; 0 for no bound.
        """
        query = select(persons.c.person_id).where(is_living(), *_conditions(wanted))
        if below:
            query = query.where(persons.c.person_id < below)
        if above:
            query = query.where(persons.c.person_id > above)
        order = persons.c.person_id if above else persons.c.person_id.desc()
        with self._engine.connect() as connection:
            found = list(connection.scalars(query.order_by(order).limit(limit)))
        return sorted(found, reverse=True)

    @explained
    def fate(self, person_id: int) -> Fate | None:
        """What became of a person; None if there never was one of this number."""
        query = select(persons.c.folded_into, persons.c.erased_us).where(persons.c.person_id == bindparam("person_id"))
        with self._engine.connect() as connection:
            row = connection.execute(query, {"person_id": person_id}).first()
            if row is None:
                return None
            into = folded = row.folded_into
            while folded is not None:
                into, folded = folded, connection.scalar(query, {"person_id": folded})
        return Fate(into, row.erased_us is not None)

    @explained
    def tracklets(self, person_id: int, *, offset: int, limit: int) -> list[KeyedTracklet]:
        """Tracklets of a person in order of their start, some of them."""
        query = tracklet_query(person_id).order_by(tracklets.c.start_us, tracklets.c.tracklet_key)
        with self._engine.connect() as connection:
            rows = connection.execute(query.offset(offset).limit(limit)).all()
        return [KeyedTracklet(row.tracklet_key, tracklet_summary(row)) for row in rows]

    @explained
    def list_camids(self) -> list[str]:
        """Names of all cameras, each once."""
        with self._engine.connect() as connection:
            return list(connection.scalars(select(cameras.c.camid).distinct().order_by(cameras.c.camid)))

    @explained
    def best_crops(self, person_ids: Sequence[int]) -> dict[int, dict[str, CropName]]:
        """The best crop that is here of each person in each camera, the best camera first; none for many persons."""
        place = func.row_number().over(
            partition_by=(tracklets.c.person_id, tracklets.c.camera_key), order_by=observations.c.quality.desc()
        )
        query = _crops(tracklets.c.person_id, cameras.c.camid, place.label("place"))
        query = query.join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
        found: defaultdict[int, dict[str, CropName]] = defaultdict(dict)
        with self._engine.connect() as connection:
            for page in pages(person_ids):
                ranked = query.where(tracklets.c.person_id.in_(page)).subquery()
                best = select(ranked).where(ranked.c.place == 1).order_by(ranked.c.quality.desc())
                for row in connection.execute(best):
                    found[row.person_id].setdefault(row.camid, CropName(row.spool_key, row.seq))
        return dict(found)

    @explained
    def top_crops(self, person_id: int, *, most: int) -> list[CropName]:
        """The best crops that are here of a person, the best first."""
        query = _crops().where(tracklets.c.person_id == person_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(observations.c.quality.desc()).limit(most)).all()
        return [CropName(row.spool_key, row.seq) for row in rows]

    @explained
    def crops_of(self, tracklet_keys: Sequence[int], *, most: int) -> dict[int, list[CropName]]:
        """The best crops that are here of each tracklet, in order of time; tracklets without any are left out."""
        place = func.row_number().over(partition_by=crops.c.tracklet_key, order_by=observations.c.quality.desc())
        query = _crops(crops.c.tracklet_key, crops.c.time_us, place.label("place"))
        found: defaultdict[int, list[CropName]] = defaultdict(list)
        with self._engine.connect() as connection:
            for page in pages(tracklet_keys):
                ranked = query.where(crops.c.tracklet_key.in_(page)).subquery()
                for row in connection.execute(
                    select(ranked).where(ranked.c.place <= most).order_by(ranked.c.time_us, ranked.c.seq)
                ):
                    found[row.tracklet_key].append(CropName(row.spool_key, row.seq))
        return dict(found)


def _crops(*columns: ColumnElement[Any]) -> Select[Any]:
    """Crops that are here, with their tracklets and observations."""
    return (
        select(*columns, crops.c.spool_key, crops.c.seq, observations.c.quality)
        .join(tracklets, tracklets.c.tracklet_key == crops.c.tracklet_key)
        .join(observations, (observations.c.spool_key == crops.c.spool_key) & (observations.c.seq == crops.c.seq))
    )


def _conditions(wanted: PersonFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if not wanted.with_provisional:
        conditions.append(persons.c.confirmed_us.is_not(None))
    if wanted.only_named:
        conditions.append(_is_called())
    if wanted.text.isdecimal():
        number = min(int(wanted.text), (1 << 63) - 1)
        conditions.append(or_(persons.c.person_id == number, _is_called(wanted.text)))
    elif wanted.text:
        conditions.append(_is_called(wanted.text))
    if not wanted.scope.is_everything:
        conditions.append(_was_seen_in(wanted.scope))
    return conditions


def _is_called(part: str = "") -> ColumnElement[bool]:
    """Of persons: has a name with this part; looked up among the names, which are few."""
    called = persons.alias("called")
    named = select(called.c.person_id).where(called.c.name.is_not(None))
    if part:
        named = named.where(called.c.name.icontains(part, autoescape=True))
    return persons.c.person_id.in_(named)


def _was_seen_in(scope: Scope) -> ColumnElement[bool]:
    """Of persons; sums with 0 keep the database from any index but that of a person's tracklets, camera by camera."""
    seen = exists().where(
        tracklets.c.person_id == persons.c.person_id,
        tracklets.c.end_us + 0 >= scope.start_us,
        tracklets.c.start_us + 0 <= scope.end_us,
    )
    return seen.where(tracklets.c.camera_key.in_(scope.camera_keys)) if scope.camera_keys else seen
