"""A roll-out as a value, and its moves. Pure: what the edges say and the time go in, the next value comes out.

    running ──► done            the last ring is installed and healthy
    running ◄─► paused          by an operator; nobody new is asked, nothing is judged
    running, paused ──► rolling_back ──► aborted
                                a ring is not well, too many edges refuse, or an operator aborts
    Every other move is refused. done and aborted are final, but go on to bring in edges that were away: to the new
    release after done, to the one before after aborted.

Rings: ring r is asked once ring r - 1 is over. A ring is filled with edges that attend, most embeddings first; one that
goes away before it was reached leaves the ring, and catches up later. A ring is over when each of its edges refused or
has run the new release for `soak_s` in good health, and the first ring when one such edge is well.

An edge:  waiting ──► asked ──► installed | refused         asked again up to `max_attempts` times when it refuses
          asked, installed ──► asked (to go back) ──► rolled_back | refused
It is asked for as long as its directive is not answered: `EdgeState.directive` is what it is told when it attends.
A refusal leaves its release running. In the first ring it halts the roll-out; later only too many of them do. An edge
that had the release and is silent for `lost_s` counts as ill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from reid.settings import Settings
from server.errors import ConflictError
from server.releases.health import Counters, Health, HealthSettings

Action = Literal["install", "roll_back"]
Answer = Literal["", "accepted", "done", "refused"]
Phase = Literal["running", "paused", "rolling_back", "done", "aborted"]
EdgePhase = Literal["waiting", "asked", "installed", "refused", "rolled_back"]


class RolloutSettings(Settings):
    """How a release gets to the edges."""

    rings: tuple[str, ...] = ("1", "10%", "all")
    """Edges that have it after each ring: a number, a percentage of all, or all; the last one must be all."""
    soak_s: float = Field(default=600.0, ge=0)
    """Each edge of a ring must be well for so long before the next ring."""
    baseline_s: float = Field(default=60.0, ge=0)
    """An edge is watched for so long before it is asked, to know how it was."""
    attending_s: float = Field(default=30.0, gt=0)
    """An edge that was not heard for so long is away."""
    lost_s: float = Field(default=180.0, gt=0)
    """An edge that had the release and was not heard for so long counts as ill."""
    install_deadline_s: float = Field(default=1800.0, gt=0)
    """An edge that attends and does not answer for so long has refused."""
    max_attempts: int = Field(default=2, ge=1)
    """How often an edge is asked; a restart of its agent refuses, too."""
    max_refused_share: float = Field(default=0.2, ge=0, le=1)
    """Refusals allowed among the edges asked, after the first ring; one always is."""
    max_ill_share: float = Field(default=0.1, ge=0, le=1)
    """Edges of a ring that may be ill, after the first ring."""
    tick_s: float = Field(default=1.0, gt=0)
    """How often to look."""
    health: HealthSettings = HealthSettings()
    """What ill means."""

    @field_validator("rings")
    @classmethod
    def _check_rings(cls, rings: tuple[str, ...]) -> tuple[str, ...]:
        if not rings or rings[-1] != "all":
            raise ValueError(f"rings {rings}: the last one must be 'all'")
        for ring in rings:
            ring_size(ring, 100)
        return rings


class Directive(Settings):
    """What an edge is told."""

    directive_id: str
    action: Action
    space: str
    """What it shall run."""


class EdgeState(Settings):
    """One edge in a roll-out."""

    ring: int
    state: EdgePhase = "waiting"
    message: str = ""
    """What it said last, or why it stands as it does."""
    directive: Directive | None = None
    """The latest one; to be answered while the state is asked."""
    attempts: int = 0
    """Directives so far, in this direction."""
    asked_us: int = 0
    is_accepted: bool = False
    """It said that it got the directive."""
    before: Health | None = None
    """How it was when it was asked."""
    mark: Counters | None = None
    """What it had counted when it was found to run the new release."""


class Rollout(Settings):
    """One roll-out. See the top of the file."""

    format: Literal[1] = 1
    rollout_key: int
    space: str
    previous: str
    """What the edges go back to."""
    parents: dict[str, str]
    """space -> space of its parent: tells which way is back."""
    state: Phase = "running"
    ring: int = 0
    rings: tuple[str, ...]
    reason: str = ""
    started_us: int
    changed_us: int
    edges: dict[str, EdgeState] = Field(default_factory=dict)
    rest_before: dict[str, Health] = Field(default_factory=dict)
    """How the edges outside of the ring were when its first edge was asked."""

    @property
    def is_active(self) -> bool:
        """No other may begin."""
        return self.state in ("running", "paused", "rolling_back")

    def with_(self, **changes: Any) -> Rollout:
        """The same with some fields changed."""
        return self.model_copy(update=changes)

    def with_edge(self, edge_id: str, edge: EdgeState) -> Rollout:
        """The same with one edge changed."""
        return self.with_(edges={**self.edges, edge_id: edge})

    def is_back(self, target: str, runs: str) -> bool:
        """Whether a space is among the ancestors of another."""
        seen = {runs}
        while (runs := self.parents.get(runs, "")) and runs not in seen:
            if runs == target:
                return True
            seen.add(runs)
        return False


@dataclass(frozen=True, kw_only=True)
class EdgeView:
    """What an edge says of itself.

    Attributes:
        space: Of the release that it runs; empty if it did not say.
        is_attending: It was heard within `attending_s`.
        heard_us: When, server's clock.
        watched_s: For how long it has attended without a break.
        counters: At `heard_us`.
        recent: Over the last `baseline_s`, or as long as it was watched.
        directive_id: Which directive it answers.
        answer: Its answer.
        message: What it says with it.
    """

    space: str
    is_attending: bool
    heard_us: int
    watched_s: float
    counters: Counters
    recent: Health
    directive_id: str = ""
    answer: Answer = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All edges at one moment.

    Attributes:
        now_us: Server's clock.
        since_us: Since when this server listens; nobody counts as silent for longer.
        views: By edge_id.
    """

    now_us: int
    since_us: int
    views: Mapping[str, EdgeView]

    def attending(self) -> dict[str, EdgeView]:
        """Edges that are there, those with most embeddings first."""
        there = [(edge_id, view) for edge_id, view in self.views.items() if view.is_attending]
        return dict(sorted(there, key=lambda item: (-item[1].counters.embeddings, item[0])))

    def is_attending(self, edge_id: str) -> bool:
        """Whether an edge is there."""
        view = self.views.get(edge_id)
        return view is not None and view.is_attending

    def silent_s(self, edge_id: str) -> float:
        """For how long an edge was not heard."""
        view = self.views.get(edge_id)
        return (self.now_us - max(self.since_us, view.heard_us if view else 0)) / 1e6


def begin(
    *, rollout_key: int, space: str, previous: str, parents: Mapping[str, str], settings: RolloutSettings, now_us: int
) -> Rollout:
    """A roll-out that nobody was asked for yet."""
    return Rollout(
        rollout_key=rollout_key,
        space=space,
        previous=previous,
        parents=dict(parents),
        rings=settings.rings,
        started_us=now_us,
        changed_us=now_us,
    )


def pause(rollout: Rollout, reason: str) -> Rollout:
    """Ask nobody else for now.

    Raises:
        ConflictError: It is not running.
    """
    _check(rollout, "pause", "running")
    return rollout.with_(state="paused", reason=reason)


def resume(rollout: Rollout) -> Rollout:
    """Go on.

    Raises:
        ConflictError: It is not paused.
    """
    _check(rollout, "resume", "paused")
    return rollout.with_(state="running", reason="")


def halt(rollout: Rollout, reason: str, *, now_us: int) -> Rollout:
    """Bring every edge that was asked back to the release before.

    Raises:
        ConflictError: It is over, or rolls back already.
    """
    _check(rollout, "abort", "running", "paused")
    halted = rollout.with_(state="rolling_back", reason=reason)
    action: Action = "roll_back" if rollout.is_back(rollout.previous, rollout.space) else "install"
    for edge_id, edge in rollout.edges.items():
        anew = edge.model_copy(update={"attempts": 0})
        is_asked = edge.state in ("asked", "installed")
        back = asked(halted, anew, action, rollout.previous, now_us=now_us) if is_asked else anew
        halted = halted.with_edge(edge_id, back)
    return halted


def asked(
    rollout: Rollout, edge: EdgeState, action: Action, space: str, *, now_us: int, message: str = ""
) -> EdgeState:
    """An edge with another directive, whose name no edge has seen before."""
    attempt = edge.attempts + 1
    name = f"{rollout.rollout_key}-{rollout.started_us:x}-{action}-{space}-{attempt}"
    directive = Directive(directive_id=name, action=action, space=space)
    changes = {"state": "asked", "directive": directive, "attempts": attempt, "asked_us": now_us}
    return edge.model_copy(update={**changes, "is_accepted": False, "message": message})


def directive_for(rollout: Rollout | None, edge_id: str) -> Directive | None:
    """What an edge is to be told; None for nothing."""
    edge = rollout.edges.get(edge_id) if rollout else None
    return edge.directive if edge and edge.state == "asked" else None


def ring_size(ring: str, num_edges: int) -> int:
    """How many of all edges have the release after a ring.

    Raises:
        ValueError: It is no number, percentage or `all`.
    """
    if ring == "all":
        return num_edges
    number = ring.removesuffix("%")
    if not number.isdecimal() or not int(number):
        raise ValueError(f"ring {ring!r}: wanted a number of edges, a percentage such as '10%', or 'all'")
    return -(-num_edges * int(number) // 100) if ring.endswith("%") else int(number)


def _check(rollout: Rollout, what: str, *states: Phase) -> None:
    if rollout.state not in states:
        raise ConflictError(
            f"cannot {what} the roll-out of {rollout.space}: it is {rollout.state}, wanted {' or '.join(states)}"
        )
