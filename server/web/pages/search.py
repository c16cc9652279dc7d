"""Search by a photo, by persons who are already known, or by both: who looks like this?

The address of a search names the photo, the box of one person in it, persons that show the same one, and where and when
to look, so that it can be kept and changed. A photo is in memory for a while, and nobody but its owner sees it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

import cv2
from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import Response
from starlette.formparsers import MultiPartParser

from reid.attributes import likely_attributes
from reid.types import Box
from server.confidence import Confidence
from server.errors import ProtocolError
from server.matching.confidence import ConfidenceCurve
from server.storage.person_pages import PersonFilter, SqlPersonPages
from server.types import PersonSummary
from server.web.access import Viewer, viewers_too
from server.web.console import Console
from server.web.filters import ANYWHERE, PlacesAndTimes
from server.web.pages.crops import crop_url
from server.web.photos import Photo, PhotoBook, open_finder, read_box, write_box
from server.web.renderer import redirect, render

_MIB = 1 << 20
_TOPS = (10, 20, 50, 100)
_MOST_EXAMPLES = 50
_VIEWS_PER_PERSON = 16
_WAIT_FOR_CONFIDENCE_S = 3.0
_PICTURES_AT_A_TIME = 2
"""Photos looked at and searched by at a time; more wait without a thread, so that all else is still answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is sought, as the address says it.

    Attributes:
        photo: Key of a photo; empty for none.
        box: Of the person in it, or `whole`; empty where that is not chosen yet.
        persons: Who shows the one that is sought.
        places: Where and when to look.
        top: Most persons wanted.
        with_provisional: Provisional persons count too.
    """

    photo: str = ""
    box: str = ""
    persons: tuple[int, ...] = ()
    places: PlacesAndTimes = ANYWHERE
    top: int = _TOPS[1]
    with_provisional: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        fields = [(name, text) for name, text in (("photo", self.photo), ("box", self.box)) if text]
        fields += [("person", str(person_id)) for person_id in self.persons]
        fields += self.places.fields()
        fields += [("top", str(self.top))] if self.top != _TOPS[1] else []
        fields += [("provisional", "true")] if self.with_provisional else []
        return "/search?" + urlencode(fields) if fields else "/search"

    def of_box(self, box: Box | None) -> str:
        """The address of the same search for another person of the photo."""
        return replace(self, box=write_box(box), persons=()).url

    @property
    def is_complete(self) -> bool:
        """It says who is sought: somebody of the photo, or, without one, persons."""
        return bool(self.box if self.photo else self.persons)

    @property
    def words(self) -> str:
        """As the audit log says it: neither the picture nor names."""
        words = [f"a photo, {self.box}"] if self.photo else []
        words += [f"like persons {', '.join(map(str, self.persons))}"] if self.persons else []
        return "; ".join([*words, *self.places.words])


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPerson:
    """A person who looks alike.

    Attributes:
        person: Who.
        similarity: Cosine of the nearest view; 0 for an example.
        camid: Of that view.
        is_match: At or above the release's threshold.
        confidence: Probability that it is the one sought, by this site's own measure; None where there is none.
        crop: Address of a picture, of that camera if there is one; empty for none.
        attributes: What the person probably looks like, likeliest first; empty unless the release tells.
    """

    person: PersonSummary
    similarity: float = 0.0
    camid: str = ""
    is_match: bool = False
    confidence: float | None = None
    crop: str = ""
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search came to.

    Attributes:
        found: Best first, without the examples.
        examples: The persons that it went by.
        threshold: Similarity from which the release calls it a match.
        curve: What confidences are read from; None while there is none.
    """

    found: tuple[FoundPerson, ...]
    examples: tuple[FoundPerson, ...]
    threshold: float
    curve: ConfidenceCurve | None


def routes(console: Console) -> APIRouter:
    """Searches of a console."""
    router = APIRouter(prefix="/search")
    settings = console.settings.web
    reader = SqlPersonPages(console.site.engine)
    finder = open_finder(settings.detector, min_score=settings.detector_score)
    book = PhotoBook(
        finder, keep_s=settings.keep_photos_s, max_bytes=int(settings.photos_mib * _MIB), clock=time.monotonic
    )
    desk = _Desk(console, reader)
    turns = asyncio.Semaphore(_PICTURES_AT_A_TIME)
    MultiPartParser.spool_max_size = settings.max_upload_bytes  # otherwise larger photos would lie on the disk

    @router.get("")
    async def search(
        request: Request,
        viewer: Viewer,
        photo: str = "",
        box: str = "",
        person: Annotated[tuple[int, ...], Query(max_length=_MOST_EXAMPLES)] = (),
        camera: Annotated[tuple[str, ...], Query()] = (),
        since: str = "",
        until: str = "",
        top: Annotated[int, Query(ge=1, le=_TOPS[-1])] = _TOPS[1],
        provisional: bool = False,
    ) -> Response:
        """The form, the persons of a photo to choose from, or who was found."""
        asked = Search(
            photo=photo,
            box=box,
            persons=tuple(dict.fromkeys(person)),
            places=PlacesAndTimes(camids=camera, since=since, until=until),
            top=top,
            with_provisional=provisional,
        )
        shown = book.get(photo, viewer.name) if photo else None
        if shown is not None and not box and len(shown.persons) < 2:
            asked = replace(asked, box=write_box(next(iter(shown.persons), None)))
        answer = None
        if asked.is_complete:
            async with console.trail.noted("search", asked.words), turns:
                await desk.refresh_confidence()
                answer = await asyncio.to_thread(desk.find, asked, shown)
        camids = await asyncio.to_thread(reader.list_camids)
        return render(
            request,
            "search.html",
            asked=asked,
            photo=shown,
            boxes=[(write_box(each), each, asked.of_box(each)) for each in shown.persons] if shown else [],
            answer=answer,
            camids=camids,
            tops=_TOPS,
            demands=console.demands,
        )

    _add_photos(router, book, turns)
    return router


def _add_photos(router: APIRouter, book: PhotoBook, turns: asyncio.Semaphore) -> None:
    """Taking photos, and showing them."""

    @router.post("")
    @viewers_too
    async def upload(request: Request, viewer: Viewer, photo: Annotated[UploadFile, File()]) -> Response:
        """Take a photo, and look for persons in it."""
        content = await photo.read()
        if not content:
            raise ProtocolError("no photo came: choose a file first")
        async with turns:
            key = await asyncio.to_thread(book.add, content, viewer.name)
        return redirect(request, Search(photo=key).url)

    @router.get("/photos/{key}.jpg")
    async def picture(viewer: Viewer, key: str) -> Response:
        """The photo, to its owner."""
        return Response(book.get(key, viewer.name).jpeg, media_type="image/jpeg")

    @router.get("/photos/{key}/{box}.jpg")
    async def crop(viewer: Viewer, key: str, box: str) -> Response:
        """One person of the photo, as the network gets it."""
        return Response(await asyncio.to_thread(_draw, book.get(key, viewer.name), box), media_type="image/jpeg")


class _Desk:
    """Answers searches."""

    def __init__(self, console: Console, reader: SqlPersonPages) -> None:
        site = console.site
        self._site = site
        self._reader = reader
        self._confidence = Confidence(
            site.search,
            partial(site.summaries.read_views, most_per_person=_VIEWS_PER_PERSON),
            site.summaries,
            site.served,
            newest=lambda most: reader.list_ids(PersonFilter(), limit=most),
        )
        self._measuring: asyncio.Task[None] | None = None

    async def refresh_confidence(self) -> None:
        """See to it that confidences are measured, and wait a little for the first ones."""
        if self._confidence.is_stale and (self._measuring is None or self._measuring.done()):
            self._measuring = asyncio.create_task(asyncio.to_thread(self._confidence.measure))
        if self._measuring is not None and self._confidence.curve() is None:
            await asyncio.wait({self._measuring}, timeout=_WAIT_FOR_CONFIDENCE_S)

    def find(self, asked: Search, photo: Photo | None) -> Answer:
        """Search, in a thread."""
        site, examples, curve = self._site, asked.persons, self._confidence.curve()
        ranked = site.search.by_examples(
            None if photo is None else photo.crop(read_box(asked.box)),
            examples,
            top=asked.top + len(examples),
            scope=asked.places.scope(site.summaries.find_cameras),
            with_provisional=asked.with_provisional,
        )
        found = [(ref, similarity) for ref, similarity in ranked if ref.person_id not in examples][: asked.top]
        person_ids = [*examples, *(ref.person_id for ref, _ in found)]
        known, crops = site.summaries.get_persons(person_ids), self._reader.best_crops(person_ids)
        camids = site.summaries.get_camids([ref.camera_key for ref, _ in found])
        attributes = site.search.attributes_of(person_ids)
        threshold = site.served.now.threshold

        def card(person_id: int, camid: str = "", similarity: float = 0.0) -> FoundPerson:
            mine = crops.get(person_id, {})
            name = mine.get(camid) or next(iter(mine.values()), None)
            return FoundPerson(
                person=known[person_id],
                similarity=similarity,
                camid=camid,
                is_match=similarity >= threshold,
                confidence=curve.of(similarity) if curve else None,
                crop=crop_url(name) if name else "",
                attributes=tuple(likely_attributes(attributes.get(person_id, ()))),
            )

        return Answer(
            found=tuple(
                card(ref.person_id, camids[ref.camera_key], similarity)
                for ref, similarity in found
                if ref.person_id in known  # folded since the gallery was searched
            ),
            examples=tuple(card(person_id) for person_id in examples if person_id in known),
            threshold=threshold,
            curve=curve,
        )


def _draw(photo: Photo, box: str) -> bytes:
    return cv2.imencode(".jpg", photo.crop(read_box(box)))[1].tobytes()
