"""Who looked, who changed what, and who was refused. For operators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.moments import read_moment
from server.storage.audit import AuditLog, AuditQuery
from server.web.access import Operator
from server.web.console import Console
from server.web.renderer import render

_PAGE = 100
_ALL = AuditQuery()


def routes(console: Console) -> APIRouter:
    """The page `/audit`."""
    router = APIRouter()
    log = AuditLog(console.site.engine)

    @router.get("/audit")
    def show(
        request: Request,
        _actor: Operator,
        actor: str = "",
        what: str = "",
        since: str = "",
        until: str = "",
        before: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        wanted = AuditQuery(
            actor=actor.strip(),
            what=what.strip(),
            since_us=read_moment(since, option="since") if since else _ALL.since_us,
            until_us=read_moment(until, option="until") if until else _ALL.until_us,
        )
        entries = log.page(wanted, before=before, limit=_PAGE + 1)
        words = {"actor": actor, "what": what, "since": since, "until": until}
        last_key = entries[_PAGE - 1][0] if len(entries) > _PAGE else 0
        return render(
            request,
            "audit.html",
            entries=[entry for _, entry in entries[:_PAGE]],
            wanted=words,
            first_url=_url(words) if before else "",
            next_url=_url({**words, "before": str(last_key)}) if last_key else "",
        )

    return router


def _url(words: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in words.items() if value})
    return f"/audit?{query}" if query else "/audit"
