"""The pages of roll-outs: rings and edges, and the buttons that hold, end and undo them."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from reid.types import ReleaseRef
from server.errors import ConflictError, NotFoundError, ProtocolError
from server.releases.rollout import Rollout
from server.releases.view import EdgeRolloutView, RolloutView, view_of
from server.web.access import Operator
from server.web.console import Console
from server.web.renderer import redirect, render

_PAGE = 25
_LONGEST_REASON = 300
_LARGEST = (1 << 63) - 1

RolloutKey = Annotated[int, Form(ge=1, le=_LARGEST)]
KeyInPath = Annotated[int, Path(ge=1, le=_LARGEST)]
Before = Annotated[int, Query(ge=0, le=_LARGEST)]
Reason = Annotated[str, Form()]
Space = Annotated[str, Form()]
IsForced = Annotated[bool, Form()]


class Ring(NamedTuple):
    """One ring.

    Attributes:
        size: As the settings say it, such as 10%.
        edges: Those that it was filled with so far.
        state: waiting, under way, paused, over, taken back or not reached.
    """

    size: str
    edges: tuple[EdgeRolloutView, ...]
    state: str


class RolloutPages:
    """See the routes below."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def latest(self, request: Request, before: Before = 0) -> HTMLResponse:
        """The roll-out that began last, and those before it."""
        rollout = self._console.roller.latest
        return self._page(request, rollout, before=before)

    def one(self, request: Request, rollout_key: KeyInPath) -> HTMLResponse:
        """One of them."""
        return self._page(request, self._find(rollout_key))

    def live(self, request: Request, rollout_key: KeyInPath, state: str = "") -> Response:
        """How a roll-out stands, for a page that watches it; once its state is another, the page is loaded anew."""
        rollout = self._find(rollout_key)
        if rollout.state != state:
            return Response(headers={"HX-Refresh": "true"})
        return render(request, "rollouts_live.html", **self._shown(rollout))

    async def start(self, request: Request, who: Operator, space: Space, *, force: IsForced = False) -> Response:
        """Bring a release to the edges."""
        rollout = await self._console.roller.start(space, who, force=force)
        return redirect(request, "/rollouts", notice=f"The roll-out of {rollout.space} has begun.")

    async def pause(self, request: Request, who: Operator, rollout_key: RolloutKey) -> Response:
        """Ask no further edge."""
        self._check_latest(rollout_key)
        await self._console.roller.pause(who)
        return redirect(request, "/rollouts", notice="Paused: no further edge is asked.")

    async def resume(self, request: Request, who: Operator, rollout_key: RolloutKey) -> Response:
        """Go on."""
        self._check_latest(rollout_key)
        await self._console.roller.resume(who)
        return redirect(request, "/rollouts", notice="The roll-out goes on.")

    async def abort(self, request: Request, who: Operator, rollout_key: RolloutKey, reason: Reason = "") -> Response:
        """Bring its edges back to the release before."""
        if len(reason) > _LONGEST_REASON:
            raise ProtocolError(f"a reason of {len(reason)} characters, wanted {_LONGEST_REASON} at most")
        self._check_latest(rollout_key)
        await self._console.roller.abort(reason.strip(), who)
        return redirect(request, "/rollouts", notice="Aborted: its edges go back to the release before.")

    def _page(self, request: Request, rollout: Rollout | None, *, before: int = 0) -> HTMLResponse:
        earlier = self._console.ledger.page(_PAGE + 1, before=before)
        return render(
            request,
            "rollouts.html",
            rollouts=earlier[:_PAGE],
            older=earlier[_PAGE - 1].rollout_key if len(earlier) > _PAGE else 0,
            is_first=before == 0,
            settings=self._console.settings.rollout,
            **({"view": None} if rollout is None else self._shown(rollout)),
        )

    def _shown(self, rollout: Rollout) -> dict[str, Any]:
        """What the template of a roll-out needs."""
        view = view_of(rollout, self._console.book, self._ref_of)
        registry = self._console.site.registry
        latest = self._console.roller.latest
        is_latest = latest is not None and latest.rollout_key == rollout.rollout_key
        return {
            "view": view,
            "rings": rings_of(rollout, view),
            "can_roll_back": is_latest and rollout.state == "done" and registry.served() == rollout.space,
            "reports": self._console.book.reports(),
        }

    def _find(self, rollout_key: int) -> Rollout:
        latest = self._console.roller.latest
        if latest is not None and latest.rollout_key == rollout_key:
            return latest
        return self._console.ledger.get(rollout_key)

    def _check_latest(self, rollout_key: int) -> None:
        """Complain about a button on a page of an earlier roll-out."""
        latest = self._console.roller.latest
        if latest is None or latest.rollout_key != rollout_key:
            raise ConflictError(f"roll-out {rollout_key} is not the latest any more: load the page again")

    def _ref_of(self, space: str) -> ReleaseRef:
        try:
            return self._console.site.registry.get(space).ref
        except NotFoundError:  # a registry that was put back without it
            return ReleaseRef(name=space, version="", space=space)


def rings_of(rollout: Rollout, view: RolloutView) -> tuple[Ring, ...]:
    """The rings with their edges; edges that were not reached yet are in the last one. Pure."""
    return tuple(
        Ring(size, tuple(edge for edge in view.edges if edge.ring == number), _ring_state(number, rollout))
        for number, size in enumerate(rollout.rings)
    )


def _ring_state(number: int, rollout: Rollout) -> str:
    if rollout.state == "done" or number < rollout.ring:
        return "over"
    if number > rollout.ring:
        return "waiting" if rollout.is_active and rollout.state != "rolling_back" else "not reached"
    return {"running": "under way", "paused": "paused"}.get(rollout.state, "taken back")


def routes(console: Console) -> APIRouter:
    """`/rollouts` and below."""
    pages, router = RolloutPages(console), APIRouter(prefix="/rollouts")
    router.get("")(pages.latest)
    router.post("")(pages.start)
    router.post("/pause")(pages.pause)
    router.post("/resume")(pages.resume)
    router.post("/abort")(pages.abort)
    router.get("/{rollout_key}")(pages.one)
    router.get("/{rollout_key}/live")(pages.live)
    return router
