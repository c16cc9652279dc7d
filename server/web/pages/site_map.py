"""Where the cameras hang: an operator gives a floor plan and places them, by mouse, by keys or by numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response

from server.errors import ProtocolError
from server.site_map import MAP_FOLDER, Place, SiteMap
from server.storage.sightings import SqlSightings
from server.types import Camera
from server.web.access import Operator, Viewer
from server.web.console import Console
from server.web.renderer import redirect, render
from server.web.site_plan import WIDTH, draw_map, labels_of

_PAGE = "/live/map"
_PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRow:
    """A camera, and where it hangs in percent of the plan; None for nowhere."""

    camera: Camera
    label: str
    x: float | None
    y: float | None


def routes(console: Console) -> APIRouter:
    """The map of a console, to be changed."""
    router = APIRouter(prefix=_PAGE)
    sightings, site_map = SqlSightings(console.site.engine), SiteMap(console.data / MAP_FOLDER)

    @router.get("")
    async def edit(request: Request, viewer: Viewer) -> Response:
        known = await asyncio.to_thread(sightings.cameras)
        attached = {Camera(edge, camid) for edge, camids in console.connected_camids().items() for camid in camids}
        view = site_map.view()
        rows = _rows({*known.values(), *attached, *view.places}, view.places)
        picture = draw_map(view, (), (), {})
        return render(request, "map.html", rows=rows, plan=view.plan, picture=picture, width=WIDTH)

    @router.get("/plan/{file}")
    async def plan(viewer: Viewer, file: str) -> Response:
        """The picture; its name changes with its content."""
        return FileResponse(
            site_map.plan_path(file), media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"}
        )

    @router.post("/plan")
    async def upload(request: Request, operator: Operator, plan: Annotated[UploadFile, File()]) -> Response:
        async with console.trail.noted("map", "floor plan"):
            taken = await asyncio.to_thread(site_map.set_plan, await plan.read())
        return redirect(request, _PAGE, notice=f"The floor plan is here: {taken.width_px} x {taken.height_px} pixels.")

    @router.post("/plan/remove")
    async def remove(request: Request, operator: Operator) -> Response:
        async with console.trail.noted("map", "no floor plan"):
            await asyncio.to_thread(site_map.remove_plan)
        return redirect(request, _PAGE, notice="The floor plan is removed. The cameras keep their places.")

    @router.post("/places")
    async def place(
        request: Request,
        operator: Operator,
        edge: Annotated[tuple[str, ...], Form()],
        camid: Annotated[tuple[str, ...], Form()],
        x: Annotated[tuple[str, ...], Form()],
        y: Annotated[tuple[str, ...], Form()],
    ) -> Response:
        """Place all cameras of the form; those without numbers are taken from the map."""
        placed, displaced = _read_places(edge, camid, x, y)
        async with console.trail.noted("map", f"{len(placed)} cameras placed, {len(displaced)} not"):
            await asyncio.to_thread(site_map.arrange, placed, displaced)
        return redirect(
            request, _PAGE, notice=f"Saved: {len(placed)} cameras are on the map, {len(displaced)} are not."
        )

    return router


def _rows(cameras: set[Camera], places: Mapping[Camera, Place]) -> list[PlaceRow]:
    labels = labels_of(cameras)
    return [
        PlaceRow(
            camera=camera,
            label=labels[camera],
            x=round(places[camera].x * _PERCENT, 1) if camera in places else None,
            y=round(places[camera].y * _PERCENT, 1) if camera in places else None,
        )
        for camera in sorted(cameras)
    ]


def _read_places(
    edges: Sequence[str], camids: Sequence[str], xs: Sequence[str], ys: Sequence[str]
) -> tuple[list[Place], list[Camera]]:
    """Who hangs where, and who nowhere."""
    if not len(edges) == len(camids) == len(xs) == len(ys):
        raise ProtocolError("the form of the map is incomplete: load the page again")
    placed: list[Place] = []
    displaced: list[Camera] = []
    for edge_id, camid, x, y in zip(edges, camids, xs, ys, strict=True):
        if x.strip() or y.strip():
            placed.append(Place(edge_id=edge_id, camid=camid, x=_share(x, camid), y=_share(y, camid)))
        else:
            displaced.append(Camera(edge_id, camid))
    return placed, displaced


def _share(text: str, camid: str) -> float:
    """A number of percent as a share."""
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0.0 <= percent <= _PERCENT:
        raise ProtocolError(f"camera {camid}: a place is two numbers from 0 to 100 percent, came {text[:20]!r}")
    return percent / _PERCENT
