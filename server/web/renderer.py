"""Makes pages of templates. Everything from outside is escaped; times are UTC, with how long ago beside them."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from server.moments import duration, moment
from server.web.access import session_of
from server.web.sessions import Session

_FOLDER = Path(__file__).parent / "templates"
_KIB = 1024.0
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_SEE_OTHER = 303


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page.

    Beside `values` a template knows `actor` (None before the login), `is_operator`, `csrf_token`, `notice`, `path`,
    and the filters `when` (a time in UTC and how long ago), `moment`, `span`, `size`, `count`, `share` and `json`.

    Args:
        request: What is answered.
        template: File in `templates/`.
        status: HTTP status.
        values: What the template shows.
    """
    session = getattr(request.state, "session", None)
    page = _environment.get_template(template).render({**_common(request, session), **values})
    return HTMLResponse(page, status_code=status)


def redirect(request: Request, url: str, *, notice: str = "") -> Response:
    """Go on to another page after a change was made; it says `notice` first. A part of a page takes the whole along."""
    if notice:
        session_of(request).notice = notice
    if "hx-request" in request.headers:
        return Response(headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=_SEE_OTHER)


def ago(time_us: int, now_us: int) -> str:
    """How long ago, in one number: 5 s, 3 min, 2 h, 4 days."""
    seconds = abs(now_us - time_us) // 1_000_000
    for limit_s, unit_s, unit in (
        (2 * _MINUTE_S, 1, "s"),
        (2 * _HOUR_S, _MINUTE_S, "min"),
        (2 * _DAY_S, _HOUR_S, "h"),
    ):
        if seconds < limit_s:
            return _with_direction(f"{seconds // unit_s} {unit}", time_us - now_us)
    return _with_direction(f"{seconds // _DAY_S} days", time_us - now_us)


def size(num_bytes: float) -> str:
    """Bytes, in the unit that makes a short number."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(num_bytes) < _KIB:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= _KIB
    return f"{num_bytes:.1f} TiB"


def _with_direction(words: str, ahead_us: int) -> str:
    return f"in {words}" if ahead_us >= 1_000_000 else f"{words} ago"


def _when(time_us: int) -> Markup:
    """A moment as people and machines read it; a dash for never."""
    if not time_us:
        return Markup("<span class='faint'>never</span>")
    text = moment(time_us)
    try:
        iso = datetime.fromtimestamp(time_us / 1e6, timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # an edge's clock may say anything
        return Markup("<span>{}</span>").format(text)
    now_us = time.time_ns() // 1000
    return Markup('<time datetime="{}">{}</time> <span class="faint ago">{}</span>').format(
        iso, text, ago(time_us, now_us)
    )


def _common(request: Request, session: Session | None) -> dict[str, Any]:
    actor = session.caller.actor if session else None
    return {
        "actor": actor,
        "is_local": session is not None and session.caller.kind == "local",
        "is_operator": actor is not None and actor.role == "operator",
        "csrf_token": session.csrf_token if session else "",
        "notice": session.take_notice() if session and "hx-request" not in request.headers else "",
        "path": request.url.path,
    }


def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        when=_when,
        moment=moment,
        span=duration,
        size=size,
        count=lambda number: f"{number:,}",
        share=lambda value: f"{100 * value:.1f} %",
        json=lambda value: json.dumps(value, separators=(",", ":")),
    )
    return environment


_environment = _make_environment()
