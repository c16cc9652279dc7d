"""The pages of persons over real records, with an edge's answers as a test wants them, behind the real door."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from anyio.from_thread import start_blocking_portal
from fakes_crop_edges import jpeg, store_of
from fakes_stream import ServerParts, served_by
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from reid.release import Release
from server.audit_trail import AuditTrail
from server.crops.demand import CropDemands
from server.crops.exchange import CollectReport
from server.crops.selection import WantedCrop
from server.crops.settings import DemandSettings
from server.crops.store import ArrivedCrop
from server.identities import Identities
from server.search import PersonSearch
from server.settings import ServerSettings
from server.storage.members import SqlMembers
from server.storage.records import AuditEntry
from server.web.access import admitted
from server.web.answers import add_answers
from server.web.door import Door
from server.web.pages import crops, live, person, person_changes, persons, review, search, site_map
from server.web.sessions import Sessions

URL = "http://127.0.0.1:8080"
PAGES = (search, persons, person, person_changes, crops, live, site_map, review)


@dataclass
class FakeEdges:
    """Answers for crops: all of them, unless told to wait."""

    store: Any
    is_slow: bool = False
    asked: list[WantedCrop] = field(default_factory=list)

    async def fetch(
        self, wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> CollectReport:
        self.asked += wanted
        while self.is_slow:
            await asyncio.sleep(0.01)
        arrived = [ArrivedCrop(crop.name, crop.tracklet, crop.time_us, jpeg(crop.seq)) for crop in wanted]
        self.store.write_files(arrived)
        self.store.keep("edge1", arrived, num_crops=len(arrived), num_bytes=0)
        return CollectReport(num_wanted=len(wanted), num_received=len(wanted))


class PersonsConsole:
    """What the pages of persons use of a console, and a visitor of it."""

    def __init__(self, parts: ServerParts, release: Release) -> None:
        self.parts = parts
        served = served_by(parts, release)
        self.store = store_of(parts)
        self.edges = FakeEdges(self.store)
        read_views = partial(parts.summaries.read_views, most_per_person=8)
        site = SimpleNamespace(
            engine=parts.engine,
            records=parts.records,
            summaries=parts.summaries,
            served=served,
            search=PersonSearch(served, read_views, lambda person_id: True),
            writer=SimpleNamespace(submit_operation=_run_at_once),
        )
        site.members = members = SqlMembers(parts.engine, spaces=lambda: served.spaces)
        self.connected: dict[str, tuple[str, ...]] = {}
        console = SimpleNamespace(
            site=site,
            data=parts.data,
            clock_us=parts.clock,
            connected_camids=lambda: self.connected,
            settings=ServerSettings(data=parts.data),
            identities=Identities(parts.ingest, parts.records, members, parts.summaries, clock_us=parts.clock),
            trail=AuditTrail(parts.records.append_audit, _run_at_once, parts.clock),
            store=self.store,
            demands=CropDemands(parts.engine, self.edges.fetch, DemandSettings(max_crops=3)),
        )
        app = FastAPI()
        for page in PAGES:
            app.include_router(page.routes(console), dependencies=[Depends(admitted)])
        add_answers(app, _note_nothing)
        sessions = Sessions(console.settings.web, lambda: 0.0)
        self.door = Door(app, sessions=sessions, gate=None, max_body_bytes=1 << 24)
        self.client = TestClient(self.door, base_url=URL)

    @contextmanager
    def visited(self) -> Iterator[PersonsConsole]:
        """Answer all requests of the block in one event loop, as a server does."""
        with start_blocking_portal() as portal:
            self.client.portal = portal
            yield self

    def text(self, path: str, *, status: int = 200) -> str:
        """A page."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, *, status: int = 200, files: Any = None, **fields: Any) -> Any:
        """Send a form; gives the page that it leads to."""
        token = csrf_token(self.text("/search"))
        answer = self.client.post(path, data={"csrf_token": token, **fields}, files=files)
        assert answer.status_code == status, answer.text
        return answer

    def audit(self) -> list[AuditEntry]:
        return list(self.parts.records.iter_audit())


def csrf_token(page: str) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def notice(page: str) -> str:
    """What a page says first; empty for nothing."""
    found = re.search(r'class="notice"[^>]*>([^<]*)<', page)
    return found[1] if found else ""


def listed(page: str) -> list[int]:
    """Persons of a list, in its order."""
    return [int(number) for number in re.findall(r'class="who-link" href="/persons/(\d+)"', page)]


def png(width_px: int, height_px: int) -> bytes:
    """A picture of nobody."""
    return cv2.imencode(".png", np.full((height_px, width_px, 3), 90, dtype=np.uint8))[1].tobytes()


async def _run_at_once(operation: Callable[[], Any]) -> Any:
    return operation()


async def _note_nothing(*_: object) -> None:
    """Refusals are tested elsewhere."""
