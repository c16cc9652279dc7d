"""Who was let in: edges and people, until when, and who was shut out. For operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.security.registry import Enrolment
from server.web.access import Operator
from server.web.console import Console
from server.web.renderer import render

_SOON_DAYS = 30
_DAY_S = 86_400
State = Literal["good", "ends soon", "ended", "revoked"]


@dataclass(frozen=True)
class Holder:
    """One certificate that was given out, and how it stands."""

    enrolment: Enrolment
    state: State


def routes(console: Console) -> APIRouter:
    """The page `/access`."""
    router = APIRouter()

    @router.get("/access")
    def show(request: Request, _actor: Operator) -> Response:
        enrolled = console.enrolled
        holders = holders_of(enrolled.list_all(), now_s=console.clock_us() / 1e6) if enrolled else []
        return render(request, "access.html", is_open=enrolled is None, holders=holders)

    return router


def holders_of(enrolments: Sequence[Enrolment], *, now_s: float) -> list[Holder]:
    """The latest first, with how each stands at a moment."""
    return [Holder(enrolment, _state(enrolment, now_s)) for enrolment in reversed(enrolments)]


def _state(enrolment: Enrolment, now_s: float) -> State:
    if enrolment.revoked_at_s:
        return "revoked"
    left_s = enrolment.ends_at_s - now_s
    if left_s <= 0:
        return "ended"
    return "ends soon" if left_s < _SOON_DAYS * _DAY_S else "good"
