"""Who was seen lately, and where: what the live page and the questions to operators read. Reads only.

Everything is bounded by the latest tracklets, and goes by an index: it costs the same whatever the records hold.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, func, select

from server.storage.database import explained
from server.storage.rows import pages
from server.storage.schema import cameras, crops, persons, tracklets
from server.storage.summaries import tracklet_summary
from server.types import Camera, Stay, TrackletSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraActivity:
    """What one camera saw lately.

    Attributes:
        camera: Its names.
        num_tracklets: That began in the span asked for.
        num_observations: Of these tracklets.
        num_in_view: Tracklets that were still seen at the moment asked for.
        last_us: When it saw somebody last; 0 for never.
    """

    camera: Camera
    num_tracklets: int = 0
    num_observations: int = 0
    num_in_view: int = 0
    last_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestTracklet:
    """A tracklet of a confirmed person, with the key of its row and the person's name."""

    tracklet_key: int
    name: str
    summary: TrackletSummary


class SqlSightings:
    """Reads the latest. Any thread may call it, and every method may raise StorageError.

    Args:
        engine: Made by `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @explained
    def activity(self, *, since_us: int, in_view_us: int) -> list[CameraActivity]:
        """What every camera saw that ever sent something, in order of edge and camera.

        Args:
            since_us: Tracklets that began since then count.
            in_view_us: Whoever was seen since then is in view.
        """
        mine = tracklets.c.camera_key == cameras.c.camera_key
        lately = mine & (tracklets.c.end_us >= since_us) & (tracklets.c.start_us >= since_us)
        num, views = func.count(), func.coalesce(func.sum(tracklets.c.num_observations), 0)
        figures = (
            select(num).where(lately).label("num_tracklets"),
            select(views).where(lately).label("num_observations"),
            select(num).where(mine, tracklets.c.end_us >= in_view_us).label("num_in_view"),
            select(tracklets.c.end_us).where(mine).order_by(tracklets.c.end_us.desc()).limit(1).label("last_us"),
        )
        query = select(cameras.c.edge_id, cameras.c.camid, *figures).order_by(cameras.c.edge_id, cameras.c.camid)
        with self._engine.connect() as connection:
            return [
                CameraActivity(
                    camera=Camera(row.edge_id, row.camid),
                    num_tracklets=row.num_tracklets,
                    num_observations=int(row.num_observations),
                    num_in_view=row.num_in_view,
                    last_us=row.last_us or 0,
                )
                for row in connection.execute(query)
            ]

    @explained
    def latest(self, *, limit: int) -> list[LatestTracklet]:
        """The tracklets of confirmed persons that began last, the latest first."""
        query = _confirmed(tracklets, persons.c.name, cameras.c.edge_id, cameras.c.camid, limit=limit)
        query = query.join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
        with self._engine.connect() as connection:
            return [
                LatestTracklet(tracklet_key=row.tracklet_key, name=row.name or "", summary=tracklet_summary(row))
                for row in connection.execute(query)
            ]

    @explained
    def find(self, tracklet_keys: Collection[int]) -> dict[int, TrackletSummary]:
        """Those of a few tracklets that exist, by key."""
        query = (
            select(tracklets, cameras.c.edge_id, cameras.c.camid)
            .join(cameras, cameras.c.camera_key == tracklets.c.camera_key)
            .where(tracklets.c.tracklet_key.in_(tracklet_keys))
        )
        with self._engine.connect() as connection:
            return {row.tracklet_key: tracklet_summary(row) for row in connection.execute(query)}

    @explained
    def with_crops(self, tracklet_keys: Collection[int]) -> set[int]:
        """Those of the tracklets of which crops are here."""
        found: set[int] = set()
        with self._engine.connect() as connection:
            for page in pages(sorted(tracklet_keys)):
                found.update(connection.scalars(select(crops.c.tracklet_key).where(crops.c.tracklet_key.in_(page))))
        return found

    @explained
    def stays(self, *, limit: int) -> list[Stay]:
        """The latest stays of confirmed persons in view of cameras, in any order."""
        columns = tracklets.c.person_id, tracklets.c.camera_key, tracklets.c.start_us, tracklets.c.end_us
        with self._engine.connect() as connection:
            return [Stay(*row) for row in connection.execute(_confirmed(*columns, limit=limit))]

    @explained
    def latest_persons(self, *, most_tracklets: int, most: int) -> list[int]:
        """Confirmed persons of the latest tracklets, whoever was seen last first."""
        with self._engine.connect() as connection:
            found = connection.scalars(_confirmed(tracklets.c.person_id, limit=most_tracklets))
            return list(dict.fromkeys(found))[:most]

    @explained
    def cameras(self) -> dict[int, Camera]:
        """All cameras that ever sent something, by key."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(cameras))
            return {row.camera_key: Camera(row.edge_id, row.camid) for row in rows}


def _confirmed(*columns: Any, limit: int) -> Select[Any]:
    """The latest tracklets of confirmed persons."""
    return (
        select(*columns)
        .join(persons, persons.c.person_id == tracklets.c.person_id)
        .where(persons.c.confirmed_us.is_not(None))
        .order_by(tracklets.c.start_us.desc())
        .limit(limit)
    )
