"""One person: where they were seen, what they look like, what became of them. `person_changes.py` has the changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from reid.attributes import likely_attributes
from server.crops.demand import Demand
from server.errors import NotFoundError
from server.identities import UNDOABLE
from server.storage.person_pages import KeyedTracklet, SqlPersonPages
from server.storage.records import LineageEvent
from server.timeline import with_gaps, write_tracklet
from server.types import PersonSummary, TrackletSummary
from server.web.access import Operator, Viewer
from server.web.console import Console
from server.web.export import EXPORTS, ExportFormat, write_export
from server.web.pages.crops import crop_url
from server.web.renderer import redirect, render
from server.web.timeline import Timeline, anchor_of, draw_timeline

_PAGE = 50
_MOST_DRAWN = 2000
_MOST_EVENTS = 500
_CROPS_OF_TRACKLET = 4
_BEST_CROPS = 12
_LARGEST = (1 << 63) - 1
PersonId = Annotated[int, Path(ge=1, le=_LARGEST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackletRow:
    """A tracklet of the table.

    Attributes:
        tracklet: Where, when, how often.
        name: EDGE/CAMERA/NUMBER.
        anchor: Its place in the page.
        gap_us: Since everything before it had ended; None for the first.
        crops: Addresses of pictures.
    """

    tracklet: TrackletSummary
    name: str
    anchor: str
    gap_us: int | None
    crops: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event of the lineage in words."""

    event: LineageEvent
    changes: tuple[str, ...]
    can_undo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """What is shown of a person.

    Attributes:
        person: None for one who was folded or erased.
        timeline: None without tracklets.
        rows: One page of tracklets.
        num_pages: Of tracklets.
        num_drawn: Tracklets in the timeline, the first ones.
        events: The newest first.
        attributes: What the person probably looks like, likeliest first; empty unless the release tells.
    """

    person: PersonSummary | None
    timeline: Timeline | None
    rows: tuple[TrackletRow, ...]
    num_pages: int
    num_drawn: int
    events: tuple[EventRow, ...]
    attributes: tuple[str, ...]


def routes(console: Console) -> APIRouter:
    """A person of a console, read."""
    router = APIRouter(prefix="/persons/{person_id}")
    reader = SqlPersonPages(console.site.engine)

    @router.get("")
    async def person(
        request: Request, viewer: Viewer, person_id: PersonId, page: Annotated[int, Query(ge=1, le=1 << 20)] = 1
    ) -> Response:
        """Everything of one person; whoever looks stands in the audit log."""
        async with console.trail.noted("list tracklets", f"person {person_id}"):
            fate = await asyncio.to_thread(reader.fate, person_id)
            if fate is None:
                raise NotFoundError(f"there is no person {person_id}")
            view = await asyncio.to_thread(_read_view, console, reader, person_id, page)
        values: dict[str, Any] = {"person_id": person_id, "fate": fate, "view": view, "page": page, "exports": EXPORTS}
        if view.person is None:
            return render(request, "person-gone.html", **values)
        gallery = await asyncio.to_thread(_best_crops, reader, person_id)
        return render(request, "person.html", gallery=gallery, demand=console.demands.of(person_id), **values)

    @router.get("/export")
    async def export(
        viewer: Viewer,
        person_id: PersonId,
        format: ExportFormat = ExportFormat.JSON,
        fps: Annotated[float, Query(ge=0.001, le=1000)] = 25.0,
    ) -> Response:
        """All tracklets with every sighting, as a file."""
        async with console.trail.noted("list tracklets", f"person {person_id}, every sighting"):
            content = await asyncio.to_thread(_export, console, person_id, format, fps)
        media_type, suffix = EXPORTS[format].media_type, EXPORTS[format].suffix
        name = f'attachment; filename="person-{person_id}{suffix}"'
        return Response(content, media_type=media_type, headers={"content-disposition": name})

    _add_crops(router, console, reader)
    return router


def _add_crops(router: APIRouter, console: Console, reader: SqlPersonPages) -> None:
    """The crops of a person, and asking for more."""
    demands = console.demands

    @router.get("/crops")
    async def crops(request: Request, viewer: Viewer, person_id: PersonId) -> Response:
        """The part of the page that changes while crops come."""
        gallery = await asyncio.to_thread(_best_crops, reader, person_id)
        return _part(request, person_id, gallery, demands.of(person_id))

    @router.get("/picture")
    async def picture(request: Request, viewer: Viewer, person_id: PersonId) -> Response:
        """What lists show of the person, while crops come."""
        gallery = await asyncio.to_thread(_best_crops, reader, person_id)
        url, is_pending = next(iter(gallery), ""), demands.is_running(person_id)
        return render(request, "person-picture.html", url=url, person_id=person_id, is_pending=is_pending)

    @router.post("/crops")
    async def ask(request: Request, operator: Operator, person_id: PersonId) -> Response:
        """Ask the edges for crops; of whom the person became a part of, if that happened while the page was open."""
        fate = await asyncio.to_thread(reader.fate, person_id)
        into = fate.folded_into if fate else None
        asked_of = into or person_id
        async with console.trail.noted("ask for crops", f"person {asked_of}"):
            demand = await demands.ask(asked_of)
        if into is None and "hx-request" in request.headers:
            return _part(request, person_id, await asyncio.to_thread(_best_crops, reader, person_id), demand)
        became = f"Person {person_id} became a part of this one. " if into else ""
        notice = f"{became}{len(demand.wanted)} crops are asked for."
        return redirect(request, f"/persons/{asked_of}#crops", notice=notice)


def _part(request: Request, person_id: int, gallery: Sequence[str], demand: Demand | None) -> Response:
    return render(request, "person-crops.html", person_id=person_id, gallery=gallery, demand=demand)


def _read_view(console: Console, reader: SqlPersonPages, person_id: int, page: int) -> PersonView:
    person = console.site.summaries.get_persons([person_id]).get(person_id)
    first = _PAGE * (page - 1)
    drawn = reader.tracklets(person_id, offset=0, limit=_MOST_DRAWN) if person else []
    has_one_before = first > 0  # for the gap
    shown = reader.tracklets(person_id, offset=first - has_one_before, limit=_PAGE + has_one_before)
    events = list(islice(console.site.records.iter_events(person_id), _MOST_EVENTS))
    return PersonView(
        person=person,
        timeline=draw_timeline([tracklet.summary for tracklet in drawn]),
        rows=tuple(_rows(reader, shown))[has_one_before:],
        num_pages=-(-person.num_tracklets // _PAGE) if person else 0,
        num_drawn=len(drawn),
        events=tuple(map(_event_row, reversed(events))),
        attributes=tuple(likely_attributes(console.site.search.attributes_of([person_id]).get(person_id, ()))),
    )


def _rows(reader: SqlPersonPages, tracklets: Sequence[KeyedTracklet]) -> Iterator[TrackletRow]:
    crops = reader.crops_of([tracklet.tracklet_key for tracklet in tracklets], most=_CROPS_OF_TRACKLET)
    gaps = with_gaps([tracklet.summary for tracklet in tracklets])
    for (key, _), (tracklet, gap_us) in zip(tracklets, gaps, strict=True):
        yield TrackletRow(
            tracklet=tracklet,
            name=write_tracklet(tracklet),
            anchor=anchor_of(tracklet),
            gap_us=gap_us,
            crops=tuple(map(crop_url, crops.get(key, ()))),
        )


def _best_crops(reader: SqlPersonPages, person_id: int) -> list[str]:
    """Addresses of the best crops, those of different cameras first."""
    best = reader.best_crops([person_id]).get(person_id, {})
    names = [*best.values(), *reader.top_crops(person_id, most=_BEST_CROPS)]
    return [crop_url(name) for name in dict.fromkeys(names)][:_BEST_CROPS]


def _event_row(event: LineageEvent) -> EventRow:
    return EventRow(
        event=event,
        changes=tuple(_changes(event)),
        can_undo=event.undone_by is None and event.kind in UNDOABLE,
    )


def _changes(event: LineageEvent) -> Iterator[str]:
    moves = Counter((move.from_person, move.to_person) for move in event.moves)
    for (one, other), count in sorted(moves.items()):
        yield f"{count} tracklet{'s' * (count != 1)} from person {one} to person {other}"
    for person_id, into in sorted(event.folded.items()):
        yield f"person {person_id} became a part of person {into}"
    for naming in event.namings:
        yield f"person {naming.person_id}: “{naming.old_name}” → “{naming.new_name}”"


def _export(console: Console, person_id: int, format: ExportFormat, fps: float) -> bytes:
    tracklets = console.site.summaries.iter_summaries(person_id=person_id, with_sightings=True)
    return write_export(list(tracklets), format, fps=fps)
