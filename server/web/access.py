"""Who may see a page, and who may change something. Closed unless a page says otherwise.

Every page needs a login. A request that changes something (anything but GET and HEAD) needs an operator, unless its
function is marked `viewers_too`; and it needs the session's CSRF token, in the field `csrf_token` of its form or in the
header `X-CSRF-Token`. A login ends when its credentials are revoked or over.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from server.errors import AuthenticationError, ForbiddenError
from server.security.callers import current_actor
from server.types import Actor
from server.web.sessions import Session

SAFE_METHODS = ("GET", "HEAD")
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_VIEWERS_TOO = "__viewers_too__"
PageT = TypeVar("PageT", bound=Callable[..., Any])


def viewers_too(page: PageT) -> PageT:
    """Mark a function that answers POST although it changes nothing, such as a search by photo: viewers may call it."""
    setattr(page, _VIEWERS_TOO, True)
    return page


def session_of(request: Request) -> Session:
    """The login behind a request.

    Raises:
        AuthenticationError: There is none, or it is over.
    """
    session = getattr(request.state, "session", None)
    if not isinstance(session, Session):
        raise AuthenticationError("log in first")
    return session


async def admitted(request: Request) -> None:
    """Dependency of every page but the login.

    Raises:
        AuthenticationError: Nobody is logged in.
        ForbiddenError: It changes something, and the CSRF token is missing or wrong, or this is no operator.
    """
    session = session_of(request)
    if request.method in SAFE_METHODS:
        return
    await check_csrf(request, session)
    page = getattr(request.scope.get("route"), "endpoint", None)
    if not getattr(page, _VIEWERS_TOO, False):
        _check_operator(session.caller.actor)


async def check_csrf(request: Request, session: Session) -> None:
    """Complain about a request that does not come from one of our own pages.

    Raises:
        ForbiddenError: Its CSRF token is missing or wrong.
    """
    token = request.headers.get(CSRF_HEADER, "")
    if not token and "form" in request.headers.get("content-type", ""):
        token = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(token.encode(), session.csrf_token.encode()):
        raise ForbiddenError("this form is out of date, or does not come from this console: load the page again")


async def _viewer() -> Actor:
    return current_actor()


async def _operator() -> Actor:
    actor = current_actor()
    _check_operator(actor)
    return actor


def _check_operator(actor: Actor) -> None:
    if actor.role != "operator":
        raise ForbiddenError(f"{actor.name} may look only: this takes the credentials of an operator")


Viewer = Annotated[Actor, Depends(_viewer)]
"""Parameter of a page: who asks."""
Operator = Annotated[Actor, Depends(_operator)]
"""Parameter of a page: who asks; anybody but an operator is refused."""
