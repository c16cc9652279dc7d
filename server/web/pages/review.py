"""Asks an operator about doubtful pairs, one after the other: same person, different people, or not sure."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from server.errors import NotFoundError
from server.identities import IdentityChange
from server.matching.doubt import DoubtfulPair, Side
from server.review import Answer, Question, Review
from server.storage.person_pages import SqlPersonPages
from server.storage.sightings import SqlSightings
from server.types import PersonSummary, TrackletSummary
from server.web.access import Operator, Viewer
from server.web.console import Console
from server.web.pages.crops import crop_url
from server.web.renderer import redirect, render

_PAGE = "/review"
_MOST_TRACKLETS = 7
"""Of one side, whose pictures are shown."""
_CROPS_OF_FACE, _CROPS_OF_OTHERS = 4, 1
_ASKED_AHEAD = 5
"""Pairs for which pictures are asked at once: they come while the first is looked at."""
_LARGEST = (1 << 63) - 1
_Name = Annotated[str, Form(pattern="^[0-9a-f]{16}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideView:
    """One side as it is shown.

    Attributes:
        person: Whose tracklets they are now.
        face: The tracklet that the answer is about; None if it was deleted meanwhile.
        num_tracklets: That go with it.
        faces: Addresses of its pictures.
        others: Of those of the other tracklets.
        num_pending: Pictures of the person that may still come from the edges.
    """

    person: PersonSummary | None
    face: TrackletSummary | None
    num_tracklets: int
    faces: tuple[str, ...]
    others: tuple[str, ...]
    num_pending: int


class _ReviewPages:
    """What the pages do."""

    def __init__(self, console: Console) -> None:
        site, settings = console.site, console.settings
        self.sightings, self._pages = SqlSightings(site.engine), SqlPersonPages(site.engine)
        self._summaries = site.summaries
        self._demands = console.demands
        self.review = Review(
            console.identities,
            site.records,
            site.members,
            self.sightings,
            site.writer.submit_operation,
            consolidation=settings.consolidation,
            matching=settings.matching,
            spaces=lambda: site.served.spaces,
            clock_s=time.monotonic,
        )

    async def find(self, name: str) -> tuple[Question | None, int]:
        """The question of this name, or else the first one; and how many wait."""
        waiting = await self.review.questions()
        question = waiting[0] if waiting else None
        if name:
            with suppress(NotFoundError):
                question = self.review.find(name)
        if question is not None:
            self.review.note_shown(question)
        return question, len(waiting)

    async def ask(self, name: str) -> int:
        """Ask the edges for pictures of a pair and of those after it; gives how many pictures."""
        asked = [self.review.find(name), *(await self.review.questions())[:_ASKED_AHEAD]]
        num_wanted = 0
        for person_id in dict.fromkeys(side.person_id for each in asked for side in (each.pair.one, each.pair.other)):
            with suppress(NotFoundError):  # the edges have no more of this one
                num_wanted += len((await self._demands.ask(person_id)).wanted)
        return num_wanted

    def sides(self, pair: DoubtfulPair) -> tuple[SideView, SideView]:
        """Both sides as they are shown."""
        return self._side(pair.one), self._side(pair.other)

    def _side(self, side: Side) -> SideView:
        keys = [side.face, *(key for key in side.tracklet_keys if key != side.face)][:_MOST_TRACKLETS]
        crops = self._pages.crops_of(keys[:1], most=_CROPS_OF_FACE)
        others = self._pages.crops_of(keys[1:], most=_CROPS_OF_OTHERS)
        demand = self._demands.of(side.person_id)
        return SideView(
            person=self._summaries.get_persons([side.person_id]).get(side.person_id),
            face=self.sightings.find([side.face]).get(side.face),
            num_tracklets=len(side.tracklet_keys),
            faces=tuple(crop_url(name) for names in crops.values() for name in names),
            others=tuple(crop_url(name) for key in keys[1:] for name in others.get(key, ())),
            num_pending=demand.num_pending if demand else 0,
        )


def routes(console: Console) -> APIRouter:
    """The questions of a console."""
    router, pages = APIRouter(prefix=_PAGE), _ReviewPages(console)
    _add_reading(router, pages)
    _add_answers(router, pages, console)
    return router


def _add_reading(router: APIRouter, pages: _ReviewPages) -> None:
    @router.get("")
    async def show(
        request: Request, viewer: Viewer, pair: str = "", done: Annotated[int, Query(ge=0, le=_LARGEST)] = 0
    ) -> Response:
        """The question of this name, or the next one."""
        question, num_waiting = await pages.find(pair)
        return render(
            request,
            "review.html",
            question=question,
            sides=await asyncio.to_thread(pages.sides, question.pair) if question else (),
            num_waiting=num_waiting,
            num_put_aside=pages.review.num_put_aside,
            done=done,
        )

    @router.get("/pictures")
    async def pictures(request: Request, viewer: Viewer, pair: str) -> Response:
        """The two sides alone, while pictures come."""
        question = pages.review.find(pair)
        sides = await asyncio.to_thread(pages.sides, question.pair)
        return render(request, "review-sides.html", question=question, sides=sides)


def _add_answers(router: APIRouter, pages: _ReviewPages, console: Console) -> None:
    @router.post("/answer")
    async def answer(request: Request, operator: Operator, pair: _Name, said: Annotated[Answer, Form()]) -> Response:
        question = pages.review.find(pair)
        change = await pages.review.answer(pair, said, operator)
        if change is None:
            return redirect(request, _PAGE, notice="Put aside.")
        return redirect(request, f"{_PAGE}?done={change.event_key}", notice=_told(question.pair, said, change))

    @router.post("/undo")
    async def undo(request: Request, operator: Operator, event: Annotated[int, Form(ge=1, le=_LARGEST)]) -> Response:
        await console.site.writer.submit_operation(partial(console.identities.undo, event, operator))
        pages.review.note_change()
        return redirect(request, _PAGE, notice=f"Taken back: event {event} is undone.")

    @router.post("/pictures")
    async def ask(request: Request, operator: Operator, pair: _Name) -> Response:
        async with console.trail.noted("ask for crops", f"pairs to review, from {pair} on"):
            num_wanted = await pages.ask(pair)
        notice = f"{num_wanted} pictures are asked for." if num_wanted else "The edges have no more pictures of them."
        return redirect(request, f"{_PAGE}?pair={pair}", notice=notice)

    @router.post("/again")
    async def again(request: Request, operator: Operator) -> Response:
        pages.review.ask_again()
        return redirect(request, _PAGE)


def _told(pair: DoubtfulPair, said: Answer, change: IdentityChange) -> str:
    """What an answer came to."""
    one, other = pair.one.person_id, pair.other.person_id
    if said == "same":
        return (
            f"Noted: one person. Person {one} stays whole."
            if pair.is_together
            else f"Noted: one person. Person {other} is a part of person {one} now."
        )
    if pair.is_together:
        made = next(iter(change.person_ids), one)
        return f"Noted: two people. {change.num_tracklets} tracklets of person {one} are person {made} now."
    return f"Noted: two people. Persons {one} and {other} will not be joined."
