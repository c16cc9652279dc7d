"""The list of persons: filtered, by pages, the newest first; and merging those that were chosen from it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from server.errors import ConflictError, NotFoundError, ProtocolError
from server.storage.person_pages import PersonFilter, SqlPersonPages
from server.types import PersonSummary
from server.web.access import Operator, Viewer
from server.web.console import Console
from server.web.filters import PlacesAndTimes
from server.web.pages.crops import crop_url
from server.web.renderer import redirect, render

_PAGE = 48
_MOST_PICTURES = 150
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonCard:
    """A person of the list, and the picture to show; no address where the server has none."""

    person: PersonSummary
    crop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPage:
    """One page of the list.

    Attributes:
        cards: The newest first.
        first: Address of the first page; empty on it.
        newer: Address of the page before; empty on the first.
        older: Address of the page after; empty on the last.
    """

    cards: tuple[PersonCard, ...]
    first: str
    newer: str
    older: str


def routes(console: Console) -> APIRouter:
    """The list of persons of a console."""
    router = APIRouter()
    reader = SqlPersonPages(console.site.engine)

    @router.get("/persons")
    async def persons(
        request: Request,
        viewer: Viewer,
        q: Annotated[str, Query(max_length=200)] = "",
        camera: Annotated[tuple[str, ...], Query()] = (),
        since: str = "",
        until: str = "",
        provisional: bool = False,
        named: bool = False,
        below: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
        above: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
    ) -> Response:
        places = PlacesAndTimes(camids=camera, since=since, until=until)
        asked = _Asked(q.strip(), places, provisional, named)
        page = await asyncio.to_thread(_read_page, console, reader, asked, below, above)
        camids = await asyncio.to_thread(reader.list_camids)
        return render(request, "persons.html", page=page, asked=asked, camids=camids, demands=console.demands)

    @router.post("/persons/pictures")
    async def pictures(
        request: Request,
        operator: Operator,
        person: Annotated[list[int], Form(max_length=_MOST_PICTURES)],
        next: Annotated[str, Form()] = "/persons",
    ) -> Response:
        """Ask the edges for a crop of each of some persons."""
        async with console.trail.noted("ask for crops", f"persons {', '.join(map(str, person))}"):
            asked = await console.demands.ask_for_pictures(person)
        others = "" if asked == len(person) else f" Edges can have none of the other {len(person) - asked}."
        url = next if next.startswith(("/persons?", "/search?")) else "/persons"
        return redirect(request, url, notice=f"Pictures of {asked} persons are asked for.{others}")

    _add_merging(router, console, reader)
    return router


def _add_merging(router: APIRouter, console: Console, reader: SqlPersonPages) -> None:
    """Comparing those that were chosen, and making them one."""

    @router.get("/persons/merge")
    async def ask(
        request: Request, operator: Operator, person: Annotated[tuple[str, ...], Query(max_length=_PAGE)] = ()
    ) -> Response:
        """The chosen persons side by side, before they become one."""
        chosen = _read_persons(person)
        cards = await asyncio.to_thread(_cards, console, reader, chosen)
        if missing := sorted(set(chosen) - {card.person.person_id for card in cards}):
            raise NotFoundError(f"there is no person {', '.join(map(str, missing))}, or no more")
        if len(cards) < 2:
            raise ConflictError("a merge needs two persons or more: tick those who are one and the same")
        into = next((card.person.person_id for card in cards if card.person.name), chosen[0])
        return render(request, "persons-merge.html", cards=cards, into=into)

    @router.post("/persons/merge")
    async def merge(
        request: Request,
        operator: Operator,
        person: Annotated[list[int], Form()],
        into: Annotated[int, Form(ge=1, le=_LARGEST)],
    ) -> Response:
        chosen = list(dict.fromkeys([into, *person]))
        change = await console.site.writer.submit_operation(partial(console.identities.merge, chosen, operator))
        others = ", ".join(map(str, chosen[1:]))
        notice = f"Merged person {others} into {into}: {change.num_tracklets} tracklets moved. Undo it under Lineage."
        return redirect(request, f"/persons/{into}", notice=notice)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the form says."""

    text: str
    places: PlacesAndTimes
    with_provisional: bool
    only_named: bool

    def url(self, **more: int) -> str:
        fields = [("q", self.text)] if self.text else []
        fields += self.places.fields()
        fields += [("provisional", "true")] if self.with_provisional else []
        fields += [("named", "true")] if self.only_named else []
        return "/persons?" + urlencode([*fields, *((name, str(number)) for name, number in more.items())])


def _read_page(console: Console, reader: SqlPersonPages, asked: _Asked, below: int, above: int) -> PersonPage:
    summaries = console.site.summaries
    wanted = PersonFilter(
        text=asked.text,
        scope=asked.places.scope(summaries.find_cameras),
        with_provisional=asked.with_provisional,
        only_named=asked.only_named,
    )
    found = reader.list_ids(wanted, limit=_PAGE + 1, below=below, above=above)
    has_more = len(found) > _PAGE
    shown = found[1:] if above and has_more else found[:_PAGE]
    has_newer, has_older = (has_more, bool(shown)) if above else (below > 0, has_more)
    return PersonPage(
        cards=_cards(console, reader, shown),
        first=asked.url() if above or below else "",
        newer=asked.url(above=shown[0]) if has_newer and shown else "",
        older=asked.url(below=shown[-1]) if has_older else "",
    )


def _cards(console: Console, reader: SqlPersonPages, person_ids: Sequence[int]) -> tuple[PersonCard, ...]:
    """Those of the persons that there are, in this order."""
    known, crops = console.site.summaries.get_persons(person_ids), reader.best_crops(person_ids)
    return tuple(
        PersonCard(person=known[key], crop=next(map(crop_url, crops.get(key, {}).values()), ""))
        for key in person_ids
        if key in known
    )


def _read_persons(texts: Iterable[str]) -> list[int]:
    """Numbers of persons, with commas or spaces between them."""
    numbers = [number for text in texts for number in re.split(r"[,;\s]+", text.strip()) if number]
    if wrong := [number for number in numbers if not re.fullmatch("[0-9]{1,18}", number)]:
        raise ProtocolError(f"person {wrong[0][:80]!r}: wanted numbers, such as 12, 31")
    return list(dict.fromkeys(map(int, numbers)))
