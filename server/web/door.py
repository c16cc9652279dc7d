"""What every request passes before its page: limits, who asks, and the headers of every answer.

No inline script or style is run, nothing is loaded from elsewhere, and no other site may show the console in a frame.
A request that another site made the browser send is refused before it is read.
"""

from __future__ import annotations

from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reid.channel import is_loopback
from server.errors import AuthenticationError, SecurityError
from server.security.callers import LOCAL, Gate, set_caller
from server.web.access import SAFE_METHODS
from server.web.sessions import Session, Sessions

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_ONLY_TLS = {"strict-transport-security": "max-age=31536000"}
_TLS_COOKIE, _PLAIN_COOKIE = "__Host-osprey", "osprey"


class Door:
    """ASGI middleware around all pages.

    Args:
        app: The pages.
        sessions: Who is logged in.
        gate: Who may stay; None without TLS, where everybody on this machine is an operator.
        max_body_bytes: Largest request taken.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, gate: Gate | None, max_body_bytes: int) -> None:
        self._app = app
        self._sessions = sessions
        self._gate = gate
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers, opened = Headers(scope=scope), None
        refusal = self._refusal(scope, headers)
        if refusal is None:
            session = self._find(headers)
            if session is None and self._gate is None:
                session = opened = self._sessions.begin(LOCAL)
            scope.setdefault("state", {})["session"] = session
            if session is not None:
                set_caller(session.caller)
        app = refusal or self._app
        with suppress(Exception):  # the page that failed was answered and logged by `answers`
            await app(scope, self._limited(receive), self._with_headers(send, scope, opened))

    def _find(self, headers: Headers) -> Session | None:
        """The login of a request, if it still holds."""
        session = self._sessions.find(_cookie(headers, self.cookie_name))
        if session is None or self._gate is None:
            return session
        try:
            self._gate.check(session.caller)
        except (AuthenticationError, SecurityError):
            self._sessions.end(session)
            return None
        return session

    @property
    def cookie_name(self) -> str:
        """Of the session. With TLS it is one that no other host and no plain page can set."""
        return cookie_name(is_tls=self._gate is not None)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self._gate is None and not is_loopback(_with_port(host)):
            return PlainTextResponse(f"this console is for this machine only, not for {host[:80]!r}\n", 421)
        if scope["method"] not in SAFE_METHODS and not _is_own(headers, host):
            return PlainTextResponse("refused: another site made this request\n", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_body_bytes:
            return PlainTextResponse(f"refused: more than {self._max_body_bytes} bytes\n", 413)
        return None

    def _limited(self, receive: Receive) -> Receive:
        """The same request; one that is longer than allowed is refused while it is read."""
        left = self._max_body_bytes

        async def read() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"more than {self._max_body_bytes} bytes")
            return message

        return read

    def _with_headers(self, send: Send, scope: Scope, opened: Session | None) -> Send:
        is_tls = self._gate is not None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, **(_ONLY_TLS if is_tls else {})}.items():
                    headers.setdefault(name, value)
                is_static = scope["path"].startswith("/static/")
                headers.setdefault("cache-control", "no-cache" if is_static else "no-store")
                if opened is not None:
                    headers.append("set-cookie", session_cookie(opened.key, is_tls=is_tls))
            await send(message)

        return answer


def cookie_name(*, is_tls: bool) -> str:
    """Name of the session's cookie."""
    return _TLS_COOKIE if is_tls else _PLAIN_COOKIE


def session_cookie(key: str, *, is_tls: bool) -> str:
    """Value of a Set-Cookie header; an empty key removes the cookie."""
    words = [f"{cookie_name(is_tls=is_tls)}={key}", "Path=/", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*words, *(["Secure"] if is_tls else []), *([] if key else ["Max-Age=0"])])


def _cookie(headers: Headers, name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _is_own(headers: Headers, host: str) -> bool:
    """Whether a request comes from a page of this host, as far as the browser says."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _with_port(host: str) -> str:
    return host if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else f"{host}:0"
