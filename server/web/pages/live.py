"""What the site sees now: its cameras, who was seen last, the map, and the ways people take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.matching.passages import Passage, find_passages
from server.site_map import MAP_FOLDER, SiteMap
from server.storage.person_pages import SqlPersonPages
from server.storage.sightings import CameraActivity, LatestTracklet, SqlSightings
from server.types import Camera
from server.web.access import Viewer
from server.web.console import Console
from server.web.pages.crops import crop_url
from server.web.remembered import Remembered
from server.web.renderer import render
from server.web.site_plan import Picture, draw_map, labels_of, usual_time

_RATE_S = 600.0
"""Rates are means over this time before now."""
_IN_VIEW_S = 15.0
"""Who was seen so lately is in view: key frames of somebody who stands still are seconds apart."""
_MOST_PERSONS = 24
_MOST_TRACKLETS = 120
_MOST_STAYS = 20_000
_MOST_GAP_S = 3600.0
_WAYS_EVERY_S = 60.0
_MOST_WAYS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRow:
    """A camera of the table.

    Attributes:
        label: Its short name.
        is_connected: Its edge is, and says that it has this camera.
        per_minute: People that came into view, per minute.
        views_per_minute: Observations of them, likewise.
    """

    camera: Camera
    label: str
    is_connected: bool
    num_in_view: int
    per_minute: float
    views_per_minute: float
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonCard:
    """Somebody seen lately; `crop` is empty where the server has no picture."""

    latest: LatestTracklet
    label: str
    crop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayRow:
    """A way between two cameras, in words."""

    from_label: str
    to_label: str
    way: Passage
    usual: str
    quick: str
    slow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What changes from moment to moment."""

    activity: tuple[CameraActivity, ...]
    persons: tuple[PersonCard, ...]


def routes(console: Console) -> APIRouter:
    """The live page of a console."""
    router = APIRouter(prefix="/live")
    engine = console.site.engine
    sightings, pages = SqlSightings(engine), SqlPersonPages(engine)
    site_map = SiteMap(console.data / MAP_FOLDER)
    ways = Remembered(lambda: _read_ways(sightings), every_s=_WAYS_EVERY_S)

    def read_now() -> Now:
        return _read_now(sightings, pages, console.clock_us())

    def picture(now: Now) -> Picture:
        return draw_map(site_map.view(), now.activity, *ways.get())

    @router.get("")
    def live(request: Request, viewer: Viewer) -> Response:
        now, (known, names) = read_now(), ways.get()
        return render(
            request,
            "live.html",
            cameras=_camera_rows(now.activity, console.connected_camids()),
            persons=now.persons,
            picture=picture(now),
            ways=list(_way_rows(known[:_MOST_WAYS], names)),
            num_ways=len(known),
            rate_min=round(_RATE_S / 60),
            gap_min=round(_MOST_GAP_S / 60),
            is_heeded=console.settings.matching.transitions.most_tracklets > 0,
        )

    @router.get("/now")
    def parts(request: Request, viewer: Viewer) -> Response:
        """What changes from moment to moment, asked for again and again."""
        now = read_now()
        cameras = _camera_rows(now.activity, console.connected_camids())
        return render(request, "live-now.html", cameras=cameras, persons=now.persons, picture=picture(now))

    return router


def _read_now(sightings: SqlSightings, pages: SqlPersonPages, now_us: int) -> Now:
    activity = sightings.activity(since_us=now_us - int(_RATE_S * 1e6), in_view_us=now_us - int(_IN_VIEW_S * 1e6))
    labels = labels_of(each.camera for each in activity)
    latest: dict[int, LatestTracklet] = {}
    for tracklet in sightings.latest(limit=_MOST_TRACKLETS):
        latest.setdefault(tracklet.summary.person_id, tracklet)
    shown = list(latest.values())[:_MOST_PERSONS]
    return Now(activity=tuple(activity), persons=tuple(_cards(pages, shown, labels)))


def _cards(
    pages: SqlPersonPages, latest: Sequence[LatestTracklet], labels: Mapping[Camera, str]
) -> Iterator[PersonCard]:
    """With the crop of this very tracklet, or else the person's best."""
    of_tracklets = pages.crops_of([each.tracklet_key for each in latest], most=1)
    without = [each.summary.person_id for each in latest if each.tracklet_key not in of_tracklets]
    of_persons = pages.best_crops(without)
    for each in latest:
        names = of_tracklets.get(each.tracklet_key) or list(of_persons.get(each.summary.person_id, {}).values())
        camera = each.summary.camera
        yield PersonCard(latest=each, label=labels.get(camera, camera.camid), crop=crop_url(names[0]) if names else "")


def _read_ways(sightings: SqlSightings) -> tuple[list[Passage], dict[int, Camera]]:
    return find_passages(sightings.stays(limit=_MOST_STAYS), most_gap_s=_MOST_GAP_S), sightings.cameras()


def _camera_rows(activity: Sequence[CameraActivity], connected: Mapping[str, Sequence[str]]) -> list[CameraRow]:
    """Those that ever sent something and those that are connected, in order of edge and camera."""
    seen = {each.camera: each for each in activity}
    attached = {Camera(edge_id, camid) for edge_id, camids in connected.items() for camid in camids}
    labels = labels_of({*seen, *attached})
    minutes = _RATE_S / 60
    return [
        CameraRow(
            camera=camera,
            label=labels[camera],
            is_connected=camera in attached,
            num_in_view=known.num_in_view,
            per_minute=known.num_tracklets / minutes,
            views_per_minute=known.num_observations / minutes,
            last_us=known.last_us,
        )
        for camera in sorted({*seen, *attached})
        for known in (seen.get(camera, CameraActivity(camera=camera)),)
    ]


def _way_rows(ways: Sequence[Passage], cameras: Mapping[int, Camera]) -> Iterator[WayRow]:
    labels = labels_of(cameras.values())
    for way in ways:
        quick, usual, slow = map(usual_time, way.quartiles_s)
        yield WayRow(
            from_label=labels[cameras[way.from_camera]],
            to_label=labels[cameras[way.to_camera]],
            way=way,
            usual=usual,
            quick=quick,
            slow=slow,
        )
