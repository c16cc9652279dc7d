"""The pages of adaptation runs: all of them, and one with its curves, verdict, examples and clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from reid.errors import ReleaseError
from server.adaptation.examples import Answer, Example, Examples, read_examples
from server.adaptation.run import AdaptationRun
from server.adaptation.view import RunView, view_of
from server.crops.budget import EdgeDay, read_day, utc_day
from server.crops.whereabouts import Whereabouts, read_whereabouts
from server.errors import NotFoundError
from server.types import CropName
from server.web.access import Operator
from server.web.console import Console
from server.web.curves import panels_of
from server.web.renderer import redirect, render
from server.web.scatter import scatter_of

STEPS = {
    "collecting": "Collect crops",
    "snapshot": "Make the data set",
    "training": "Train",
    "gating": "Judge",
    "rolling_out": "Roll out",
}
"""States of a run under way, in their order, with what an operator calls them."""
_PAGE = 25
_MIB = 1 << 20
_LARGEST = (1 << 63) - 1

RunKey = Annotated[int, Path(ge=1, le=_LARGEST)]
Before = Annotated[int, Query(ge=0, le=_LARGEST)]


class Step(NamedTuple):
    """A step of a run, as an operator calls it; `state` is over, now or ahead."""

    name: str
    state: str


class EdgeBudget(NamedTuple):
    """What an edge was made to send today, and what it may be made to."""

    edge_id: str
    num_crops: int
    num_bytes: int
    limit_bytes: int


class ShownCrop(NamedTuple):
    """A crop of an example; `seen` is None once the crop is gone from the server."""

    name: CropName
    seen: Whereabouts | None


@dataclass(frozen=True)
class ShownExamples:
    """The examples of a run, with what is known of their crops now."""

    examples: Examples
    seen: Mapping[CropName, Whereabouts]

    def crop(self, of: Answer | Example) -> ShownCrop:
        """The crop that an answer or a question is."""
        name = CropName(of.spool_key, of.seq)
        return ShownCrop(name, self.seen.get(name))


class RefreshPages:
    """See the routes below."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def runs(self, request: Request, before: Before = 0) -> HTMLResponse:
        """All runs, the latest first; the one under way, the budget, and what begins a run."""
        console = self._console
        found = console.runs.page(_PAGE + 1, before=before)
        active = console.runs.active()
        return render(
            request,
            "refresh.html",
            runs=found[:_PAGE],
            older=found[_PAGE - 1].run_key if len(found) > _PAGE else 0,
            is_first=before == 0,
            view=self._view(active) if active else None,
            budgets=self._budgets(),
            settings=console.settings,
            served=console.site.registry.served(),
        )

    def run(self, request: Request, run_key: RunKey) -> HTMLResponse:
        """One run."""
        run = self._console.runs.find(run_key)
        folder = self._console.run_folder(run.run_key)
        view = self._view(run)
        points, panels = folder.projection(), panels_of(view.epochs)
        return render(
            request,
            "refresh_run.html",
            view=view,
            steps=steps_of(run),
            panels=panels,
            num_panels=len(panels),
            heads=["#epoch", *(f"#{curve.name}" for panel in panels for curve in panel.curves)],
            shown=self._examples(run),
            scatter=scatter_of(points) if points else None,
        )

    def live(self, request: Request, run_key: RunKey, state: str = "", panels: int = 0) -> Response:
        """How a run stands, for a page that watches it.

        Once its state is another, or there are more panels than the page has, the page is loaded anew.
        """
        view = self._view(self._console.runs.find(run_key))
        if (view.run.state, len(panels_of(view.epochs))) != (state, panels):
            return Response(headers={"HX-Refresh": "true"})
        return render(request, "refresh_live.html", view=view, steps=steps_of(view.run), num_panels=panels)

    def curves(self, run_key: RunKey, panel: str) -> Mapping[str, Any]:
        """The numbers of one panel, as `charts.js` wants them."""
        epochs = self._view(self._console.runs.find(run_key)).epochs
        found = next((each for each in panels_of(epochs) if each.name == panel), None)
        if found is None:
            raise NotFoundError(f"run {run_key} has no curves of {panel!r}")
        return {
            "x": {"label": "epoch", "whole": True, "values": [epoch for epoch, _ in epochs]},
            "y": {"label": found.label, "unit": found.unit},
            "kind": "line",
            "series": [{"label": curve.name, "values": curve.values} for curve in found.curves],
        }

    async def start(self, request: Request, who: Operator) -> Response:
        """Begin a run."""
        run = await self._console.loop.start(who)
        return redirect(request, f"/refresh/{run.run_key}", notice=f"Run {run.run_key} has begun.")

    async def stop(self, request: Request, run_key: RunKey, who: Operator) -> Response:
        """End a run."""
        run = await self._console.loop.stop(run_key, who)
        return redirect(request, f"/refresh/{run.run_key}", notice=f"Run {run.run_key} is stopped.")

    async def resume(self, request: Request, run_key: RunKey, who: Operator) -> Response:
        """Go on with a run that failed or was stopped."""
        run = await self._console.loop.resume(run_key, who)
        return redirect(request, f"/refresh/{run.run_key}", notice=f"Run {run.run_key} goes on.")

    def _view(self, run: AdaptationRun) -> RunView:
        return view_of(run, self._console.run_folder(run.run_key))

    def _budgets(self) -> list[EdgeBudget]:
        """Of every edge that is connected or sent crops today."""
        console = self._console
        limit_bytes = int(console.settings.crops.daily_limit_mib * _MIB)
        sent = {day.edge_id: day for day in read_day(console.site.engine, day=utc_day(console.clock_us()))}
        edge_ids = sorted({*sent, *console.connected_camids()})
        return [EdgeBudget(*sent.get(edge_id, EdgeDay(edge_id, 0, 0)), limit_bytes) for edge_id in edge_ids]

    def _examples(self, run: AdaptationRun) -> ShownExamples | None:
        try:
            found = read_examples(self._console.run_folder(run.run_key).examples)
        except ReleaseError:  # a file that somebody damaged costs its own part of the page alone
            return None
        if found is None or not found.examples:
            return None
        names = [CropName(example.spool_key, example.seq) for example in found.examples]
        answers = (answer for example in found.examples for answer in (*example.before, *example.after))
        names += [CropName(answer.spool_key, answer.seq) for answer in answers]
        return ShownExamples(found, read_whereabouts(self._console.site.engine, list(dict.fromkeys(names))))


def steps_of(run: AdaptationRun) -> tuple[Step, ...]:
    """How far a run came. One that was broken off stands where it would go on; a refused one ended with its verdict."""
    states = list(STEPS)
    if run.state == "done":
        num_over = len(states) if run.rollout_key else states.index("rolling_out")
        return tuple(Step(name, "over" if number < num_over else "ahead") for number, name in enumerate(STEPS.values()))
    at = {"refused": "gating", "failed": run.resumes_in, "stopped": run.resumes_in}.get(run.state, run.state)
    now = states.index(at)
    words = ["over"] * now + ["now"] + ["ahead"] * (len(states) - now - 1)
    return tuple(map(Step, STEPS.values(), words))


def routes(console: Console) -> APIRouter:
    """`/refresh` and below."""
    pages, router = RefreshPages(console), APIRouter(prefix="/refresh")
    router.get("")(pages.runs)
    router.post("")(pages.start)
    router.get("/{run_key}")(pages.run)
    router.get("/{run_key}/live")(pages.live)
    router.get("/{run_key}/curves/{panel}.json")(pages.curves)
    router.post("/{run_key}/stop")(pages.stop)
    router.post("/{run_key}/resume")(pages.resume)
    return router
