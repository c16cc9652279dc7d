"""Begins a refresh of the network on the running site, and tells what happens until every edge runs the new release."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.children import Child, wait_until
from demo.errors import DemoError
from demo.plan import DemoPlan
from reid.credentials import Credentials
from reid.errors import OspreyError
from server.adaptation.view import RunView
from server.adaptation_client import AdaptationClient
from server.release_client import ReleaseClient
from server.releases.view import RolloutView

_POLL_S = 0.5

Tell = Callable[[str], None]
"""Shows a line that stays."""


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """What became of a refresh.

    Attributes:
        outcome: How the run ended: done, refused or failed.
        why: In words.
        release: That every edge runs now.
        num_crops: That the server asked for and got.
        crop_bytes: What they took.
        num_epochs: Of the training.
        num_checks: Of the gate.
        num_edges: That changed their release.
        duration_s: From the operator's word to the last edge.
    """

    outcome: str
    why: str
    release: str
    num_crops: int
    crop_bytes: int
    num_epochs: int
    num_checks: int
    num_edges: int
    duration_s: float


def refresh(
    plan: DemoPlan, address: str, credentials: Credentials, children: Sequence[Child], *, tell: Tell, show: Tell
) -> Refresh:
    """Adapt the network to the site, and wait until the edges run it.

    Args:
        plan: What runs.
        address: The server's.
        credentials: An operator's.
        children: Processes that must not fail meanwhile.
        tell: For milestones.
        show: For what is under way.

    Raises:
        DemoError: A process failed, the server did not answer, or it took too long.
    """
    began_s = time.monotonic()
    story = _Story(tell, show)
    try:
        with (
            AdaptationClient(address, credentials=credentials) as adaptation,
            ReleaseClient(address, credentials=credentials) as releases,
        ):
            run_key = adaptation.start().run.run_key

            def is_over() -> bool:
                view = adaptation.get(run_key)
                story.go_on(view, releases.get_rollout(view.run.rollout_key) if view.run.rollout_key else None)
                return not view.run.is_active

            wait_until(is_over, children, limit_s=plan.refresh_limit_s, what="the refresh ends", every_s=_POLL_S)
    except OspreyError as error:
        raise DemoError(f"the refresh failed: {error}") from None
    return story.outcome(time.monotonic() - began_s)


class _Story:
    """Tells each thing once, when it has happened."""

    def __init__(self, tell: Tell, show: Tell) -> None:
        self._tell_line = tell
        self._show = show
        self._told: set[str] = set()
        self._view: RunView | None = None
        self._rollout: RolloutView | None = None

    def go_on(self, view: RunView, rollout: RolloutView | None) -> None:
        """Take in how it stands."""
        self._view, self._rollout = view, rollout
        run = view.run
        self._show(f"refresh, {run.state}: {run.message}")
        if run.state not in ("collecting", "failed", "stopped"):
            self._tell(
                f"crops asked of the edges: {run.num_crops_received} of {run.num_crops_wanted} came, "
                f"{run.crop_bytes / 1e6:.2f} MB"
            )
        for epoch, figures in view.epochs:
            clusters = f"{figures.get('num_clusters', 0):.0f} clusters"
            self._tell(f"training, epoch {epoch}: loss {figures.get('loss', 0.0):.3f}, {clusters}")
        if view.verdict is not None:
            self._tell(f"gate {view.verdict.summary}")
        if rollout is not None:
            self._tell_rollout(rollout)

    def outcome(self, duration_s: float) -> Refresh:
        """What it came to."""
        assert self._view is not None, "a run was begun"
        run, verdict = self._view.run, self._view.verdict
        edges = () if self._rollout is None else self._rollout.edges
        return Refresh(
            outcome=run.state,
            why=run.message,
            release=str(self._rollout.release) if self._rollout is not None else "",
            num_crops=run.num_crops_received,
            crop_bytes=run.crop_bytes,
            num_epochs=len(self._view.epochs),
            num_checks=0 if verdict is None else len(verdict.checks),
            num_edges=sum(edge.state == "installed" for edge in edges),
            duration_s=duration_s,
        )

    def _tell_rollout(self, rollout: RolloutView) -> None:
        for edge in rollout.edges:
            if edge.state in ("installed", "refused", "rolled_back"):
                self._tell(f"ring {edge.ring + 1} of {rollout.num_rings}: {edge.edge_id} {edge.state} {edge.message}")
        if rollout.state != "running":
            self._tell(f"roll-out {rollout.state}: {rollout.reason}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._tell_line(line)
