"""Puts the pages of the console together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from server.errors import StorageError
from server.security.callers import Gate
from server.storage.records import AuditEntry
from server.types import Actor
from server.web.access import admitted
from server.web.answers import add_answers
from server.web.console import Console
from server.web.door import Door
from server.web.pages import (
    access,
    audit,
    crops,
    live,
    login,
    overview,
    person,
    person_changes,
    persons,
    refresh,
    releases,
    review,
    rollouts,
    search,
    site_map,
)
from server.web.sessions import Sessions

logger = structlog.get_logger(__name__)

_STATIC = Path(__file__).parent / "static"

PAGES: tuple[Callable[[Console], APIRouter], ...] = (
    overview.routes,
    audit.routes,
    access.routes,
    search.routes,
    persons.routes,
    person.routes,
    person_changes.routes,
    crops.routes,
    live.routes,
    site_map.routes,
    review.routes,
    refresh.routes,
    rollouts.routes,
    releases.routes,
)
"""Every page but the login; each needs one."""


def make_app(console: Console) -> Door:
    """The console as an ASGI application."""
    settings = console.settings.web
    gate = Gate(console.enrolled, time.time) if console.enrolled is not None else None
    sessions = Sessions(settings, time.monotonic)
    app = FastAPI(title="Osprey", openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.include_router(login.routes(console, sessions, gate))
    for routes in PAGES:
        app.include_router(routes(console), dependencies=[Depends(admitted)])
    add_answers(app, partial(_note_refusal, console))
    return Door(app, sessions=sessions, gate=gate, max_body_bytes=settings.max_upload_bytes)


async def _note_refusal(console: Console, actor: Actor, what: str, reason: str) -> None:
    entry = AuditEntry(
        time_us=console.clock_us(), actor=actor, what=what, subject="console", outcome=f"refused: {reason}"
    )
    try:
        await asyncio.to_thread(console.site.records.append_audit, entry)
    except StorageError as error:  # refused it is all the same
        logger.error("a refusal could not be written to the audit log", error=str(error))
