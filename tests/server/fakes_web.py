"""A console with two pages of its own, and people who may visit it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.testclient import TestClient

from reid.logs import configure_logs
from server.errors import ConflictError, NotFoundError
from server.security.authority import Authority
from server.security.callers import Gate
from server.types import Actor
from server.web.access import Operator, Viewer, admitted, viewers_too
from server.web.answers import add_answers
from server.web.door import Door, cookie_name
from server.web.renderer import redirect
from server.web.sessions import Session, Sessions
from server.web.settings import WebSettings

HTTPS = "https://127.0.0.1:8443"
HTTP = "http://127.0.0.1:8080"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class SmallConsole:
    """Pages that read, search and change, behind the real door."""

    def __init__(self, data: Path, *, is_tls: bool = True, max_body_bytes: int = 1000) -> None:
        configure_logs()
        self.clock = Clock()
        self.authority = Authority(data)
        if is_tls:
            now = datetime.now(timezone.utc)
            self.authority.make(["127.0.0.1"], site="test", ca_days=30, server_days=20, now=now)
        self.gate = Gate(self.authority.registry, lambda: self.clock.now_s) if is_tls else None
        self.sessions = Sessions(WebSettings(idle_s=100, session_s=1000), self.clock)
        self.changes: list[Actor] = []
        self.refusals: list[tuple[str, str]] = []
        app = FastAPI()
        app.include_router(self._pages(), dependencies=[Depends(admitted)])
        add_answers(app, self._note)
        self.door = Door(app, sessions=self.sessions, gate=self.gate, max_body_bytes=max_body_bytes)
        self.url = HTTPS if is_tls else HTTP

    def enroll(self, kind: Any, name: str) -> str:
        """Let somebody in; gives their token."""
        now = datetime.now(timezone.utc)
        self.clock.now_s = now.timestamp()
        return self.authority.enroll(kind, name, server="127.0.0.1:7070", days=1, now=now).token

    def client(self) -> TestClient:
        return TestClient(self.door, base_url=self.url, raise_server_exceptions=False, follow_redirects=False)

    def visit(self, kind: Any, name: str) -> tuple[TestClient, Session]:
        """Somebody who is logged in."""
        assert self.gate is not None
        session = self.sessions.begin(self.gate.log_in(name, self.enroll(kind, name)))
        client = self.client()
        client.cookies.set(cookie_name(is_tls=True), session.key)
        return client, session

    async def _note(self, actor: Actor, what: str, reason: str) -> None:
        self.refusals.append((actor.name, what))

    def _pages(self) -> APIRouter:
        router = APIRouter()

        @router.get("/look")
        def look(actor: Viewer) -> dict[str, str]:
            return {"name": actor.name, "role": actor.role}

        @router.get("/secret")
        def secret(actor: Operator) -> dict[str, str]:
            return {"name": actor.name}

        @router.post("/change")
        async def change(request: Request, actor: Viewer) -> Any:
            self.changes.append(actor)
            return redirect(request, "/look", notice="Changed.")

        @router.post("/find")
        @viewers_too
        async def find() -> dict[str, str]:
            return {}

        @router.get("/missing")
        def missing() -> None:
            raise NotFoundError("there is no person <7>")

        @router.get("/conflict")
        def conflict() -> None:
            raise ConflictError("two at once")

        @router.get("/broken")
        def broken() -> None:
            raise RuntimeError("secret words")

        @router.get("/number")
        def number(value: int) -> int:
            return value

        return router
