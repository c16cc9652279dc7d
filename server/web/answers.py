"""What a visitor is told when something goes wrong: one table from exceptions to HTTP status, and the page for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from reid.errors import OspreyError, ReleaseError
from server.errors import (
    AuthenticationError,
    BusyCallerError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    SecurityError,
    SpaceError,
    StoppingError,
    StorageError,
)
from server.types import Actor
from server.web.access import session_of
from server.web.renderer import render

logger = structlog.get_logger(__name__)

STATUS_OF: dict[type[OspreyError], HTTPStatus] = {
    AuthenticationError: HTTPStatus.UNAUTHORIZED,
    BusyCallerError: HTTPStatus.TOO_MANY_REQUESTS,
    ConflictError: HTTPStatus.CONFLICT,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    OspreyError: HTTPStatus.BAD_REQUEST,
    ReleaseError: HTTPStatus.CONFLICT,
    SecurityError: HTTPStatus.SERVICE_UNAVAILABLE,
    SpaceError: HTTPStatus.CONFLICT,
    StoppingError: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""That of the nearest class counts; what has none of its own is the visitor's input."""
OnRefused = Callable[[Actor, str, str], Awaitable[None]]
LOGIN = "/login"
_FAILED = "the server failed on this page; its log says why"
_SEE_OTHER = 303


def add_answers(app: FastAPI, on_refused: OnRefused) -> None:
    """Let the pages answer errors.

    Args:
        app: The pages.
        on_refused: Told who may not do what, and why.
    """

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, OspreyError)
        if isinstance(error, ForbiddenError):
            await on_refused(session_of(request).caller.actor, f"{request.method} {request.url.path}", str(error))
        return _on_error(request, error)

    app.add_exception_handler(OspreyError, on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)


def status_of(error: OspreyError) -> HTTPStatus:
    """Status for an error."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def _on_error(request: Request, error: OspreyError) -> Response:
    if isinstance(error, AuthenticationError):
        return _to_login(request)
    status = status_of(error)
    log = logger.warning if status is HTTPStatus.FORBIDDEN else logger.info
    log("page refused", method=request.method, path=request.url.path, status=int(status), error=str(error))
    return _page(request, status, str(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if getattr(request.state, "session", None) is None:
        return _to_login(request)  # nobody learns from outside which pages there are
    status = HTTPStatus(error.status_code)
    words = {
        HTTPStatus.NOT_FOUND: f"there is no page {request.url.path}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}",
    }
    return _page(request, status, words.get(status, str(error.detail)))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
    return _page(request, HTTPStatus.BAD_REQUEST, faults)


async def _on_failure(request: Request, error: Exception) -> Response:
    logger.error("a page failed", path=request.url.path, exc_info=error)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, _FAILED)


def _to_login(request: Request) -> Response:
    """To the login, and from there back; a part of a page cannot go there, so the browser is told to."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    url = f"{LOGIN}?{urlencode({'next': target})}" if request.method == "GET" else LOGIN
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": LOGIN})
    return RedirectResponse(url, status_code=_SEE_OTHER)


def _page(request: Request, status: HTTPStatus, text: str) -> HTMLResponse:
    template = "problem-part.html" if "hx-request" in request.headers else "problem.html"
    return render(request, template, status=int(status), heading=status.phrase, text=text)
