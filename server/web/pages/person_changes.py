"""What an operator does to one person: name, merge, split, undo, erase. The words of `server.identities` hold."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from server.errors import ConflictError, NotFoundError
from server.identities import IdentityChange
from server.timeline import read_tracklet
from server.web.access import Operator
from server.web.console import Console
from server.web.pages.person import PersonId
from server.web.renderer import redirect, render

_LARGEST = (1 << 63) - 1


def routes(console: Console) -> APIRouter:
    """Changes of a person."""
    router = APIRouter(prefix="/persons/{person_id}")
    identities, submit = console.identities, console.site.writer.submit_operation

    @router.post("/name")
    async def name(
        request: Request, operator: Operator, person_id: PersonId, name: Annotated[str, Form()] = ""
    ) -> Response:
        await submit(partial(identities.name, person_id, name.strip(), operator))
        called = f"is now called “{name.strip()}”" if name.strip() else "has no name now"
        return redirect(request, _page(person_id), notice=f"Person {person_id} {called}.")

    @router.post("/split")
    async def split(
        request: Request, operator: Operator, person_id: PersonId, tracklet: Annotated[tuple[str, ...], Form()] = ()
    ) -> Response:
        if not tracklet:
            raise ConflictError("a split needs tracklets: tick those that show somebody else")
        names = [read_tracklet(text) for text in tracklet]
        change = await submit(partial(identities.split, person_id, names, operator))
        (made,) = change.person_ids
        notice = f"Split off as person {made}: {_moved(change)}. Undo it under Lineage."
        return redirect(request, _page(made), notice=notice)

    @router.post("/undo")
    async def undo(
        request: Request, operator: Operator, person_id: PersonId, event: Annotated[int, Form(ge=1, le=_LARGEST)]
    ) -> Response:
        change = await submit(partial(identities.undo, event, operator))
        return redirect(request, _page(person_id), notice=f"Event {event} is undone: {_moved(change)}.")

    @router.get("/erase")
    async def ask(request: Request, operator: Operator, person_id: PersonId) -> Response:
        """What would be erased."""
        found = await asyncio.to_thread(console.site.summaries.get_persons, [person_id])
        if person_id not in found:
            raise NotFoundError(f"there is no person {person_id}, or no more")
        return render(request, "person-erase.html", person=found[person_id])

    @router.post("/erase")
    async def erase(
        request: Request, operator: Operator, person_id: PersonId, confirm: Annotated[str, Form()] = ""
    ) -> Response:
        if confirm.strip() != str(person_id):
            raise ConflictError(f"nobody was erased: to confirm, type the number {person_id}, came {confirm[:20]!r}")
        change = await submit(partial(identities.erase, person_id, operator))
        notice = f"Person {person_id} is erased, with {change.num_tracklets} tracklets and all their crops."
        return redirect(request, "/persons", notice=notice)

    return router


def _page(person_id: int) -> str:
    return f"/persons/{person_id}"


def _moved(change: IdentityChange) -> str:
    return f"{change.num_tracklets} tracklet{'s' * (change.num_tracklets != 1)} moved"
