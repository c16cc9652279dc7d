"""Logging in and out: a name and the token of its credentials. Everything tried is in the audit log."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.errors import AuthenticationError, BusyCallerError
from server.security.callers import Caller, Gate
from server.storage.records import AuditEntry
from server.types import Actor
from server.web.access import check_csrf, session_of
from server.web.answers import LOGIN, status_of
from server.web.attempts import Attempts
from server.web.console import Console
from server.web.door import session_cookie
from server.web.renderer import render
from server.web.sessions import Sessions

_HOME = "/"
_SEE_OTHER = 303
_LONGEST = 200
_UNKNOWN = Actor("unknown", "viewer")


class Desk:
    """Lets people in.

    Args:
        console: For the audit log and the settings.
        gate: Who may come in.
    """

    def __init__(self, console: Console, gate: Gate) -> None:
        self._console = console
        self._gate = gate
        self._attempts = Attempts(console.settings.web.attempts_per_minute, time.monotonic)

    async def admit(self, name: str, token: str, address: str) -> Caller:
        """The person behind a name and a token.

        Args:
            name: Theirs.
            token: That of their credentials.
            address: Where they call from.

        Raises:
            BusyCallerError: Too many failed from there.
            AuthenticationError: Both do not fit, were revoked, or have ended.
        """
        wait_s = self._attempts.wait_s(address)
        if wait_s > 0:
            raise BusyCallerError(f"Too many failed logins: try again in {wait_s:.0f} s.")
        try:
            caller = await asyncio.to_thread(self._gate.log_in, name[:_LONGEST], token[:_LONGEST])
        except AuthenticationError:
            self._attempts.note_failure(address)
            await self.note(_UNKNOWN, "login", f"refused: name and token do not fit, from {address}")
            raise AuthenticationError("This name and token do not fit, or were revoked, or have ended.") from None
        await self.note(caller.actor, "login", "done")
        return caller

    async def note(self, actor: Actor, what: str, outcome: str) -> None:
        """Write to the audit log."""
        entry = AuditEntry(time_us=self._console.clock_us(), actor=actor, what=what, subject="console", outcome=outcome)
        await asyncio.to_thread(self._console.site.records.append_audit, entry)


def routes(console: Console, sessions: Sessions, gate: Gate | None) -> APIRouter:
    """The pages `/login` and `/logout`; without a gate nobody needs them."""
    router = APIRouter()
    if gate is not None:
        desk = Desk(console, gate)
        _add_login(router, desk, sessions)
        _add_logout(router, desk, sessions)
    return router


def _add_login(router: APIRouter, desk: Desk, sessions: Sessions) -> None:
    @router.get(LOGIN)
    async def ask(request: Request, next: str = _HOME) -> Response:
        if request.state.session is not None:
            return RedirectResponse(_local(next), _SEE_OTHER)
        return render(request, "login.html", problem="", name="", next=_local(next))

    @router.post(LOGIN)
    async def log_in(
        request: Request,
        name: Annotated[str, Form()] = "",
        token: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = _HOME,
    ) -> Response:
        try:
            caller = await desk.admit(name.strip(), token.strip(), request.client.host if request.client else "")
        except (AuthenticationError, BusyCallerError) as error:
            page = {"problem": str(error), "name": name[:_LONGEST], "next": _local(next)}
            return render(request, "login.html", status=int(status_of(error)), **page)
        if request.state.session is not None:
            sessions.end(request.state.session)
        answer = RedirectResponse(_local(next), _SEE_OTHER)
        answer.headers.append("set-cookie", session_cookie(sessions.begin(caller).key, is_tls=True))
        return answer


def _add_logout(router: APIRouter, desk: Desk, sessions: Sessions) -> None:
    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        session = session_of(request)
        await check_csrf(request, session)
        sessions.end(session)
        await desk.note(session.caller.actor, "logout", "done")
        answer = RedirectResponse(LOGIN, _SEE_OTHER)
        answer.headers.append("set-cookie", session_cookie("", is_tls=True))
        return answer


def _local(url: str) -> str:
    """The page to go on to, if it is one of ours; else the first."""
    parts = urlsplit(url)
    is_ours = url.startswith("/") and not url.startswith(("//", "/\\")) and not parts.netloc and url.isprintable()
    return url if is_ours and parts.path != LOGIN else _HOME
