"""Edges that install what they are told, or do not, and a site of them on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reid.types import ReleaseRef
from server.releases.advance import advance
from server.releases.fleet import EdgeReport, FleetBook
from server.releases.health import HealthSettings
from server.releases.rollout import Answer, Directive, Rollout, RolloutSettings, begin, directive_for

OLD, NEW = "tiny-1-0", "tiny-2-1"
QUICK = RolloutSettings(
    rings=("1", "50%", "all"),
    soak_s=10,
    baseline_s=3,
    attending_s=5,
    lost_s=15,
    install_deadline_s=60,
    health=HealthSettings(min_embeddings=20),
)


@dataclass
class FakeEdge:
    """One edge; `refuses`, `rate_hz` and the like may be changed at any time."""

    edge_id: str
    space: str = OLD
    rate_hz: float = 10.0
    fault_share: float = 0.0
    embed_ms: float = 5.0
    coherence: float = 0.8
    refuses: str = ""
    install_s: float = 2.0
    is_away: bool = False
    on_new: Callable[[FakeEdge], None] = lambda edge: None
    embeddings: int = 0
    faults: int = 0
    directive: Directive | None = None
    left_s: float = 0.0
    answer: Answer = ""
    log: list[str] = field(default_factory=list)

    def live(self, seconds: float) -> None:
        events = round(self.rate_hz * seconds)
        self.faults += round(events * self.fault_share)
        self.embeddings += events - round(events * self.fault_share)
        if self.answer == "accepted" and self.directive is not None:
            self.left_s -= seconds
            if self.left_s <= 0:
                self._finish(self.directive)

    def hear(self, directive: Directive | None) -> None:
        if directive is None or (self.directive and self.directive.directive_id == directive.directive_id):
            return
        self.directive, self.left_s, self.answer = directive, self.install_s, "accepted"
        self.log.append(f"{directive.action} {directive.space}")

    def restart(self) -> None:
        """Its agent dies and starts: what it counted and was doing is lost."""
        self.embeddings = self.faults = 0
        if self.answer == "accepted":
            self.answer = "refused"

    def report(self) -> EdgeReport:
        return EdgeReport(
            edge_id=self.edge_id,
            release=ReleaseRef(name="tiny", version="1", space=self.space),
            embeddings=self.embeddings,
            faults=self.faults,
            embed_ms=self.embed_ms,
            coherence=self.coherence,
            directive_id=self.directive.directive_id if self.directive else "",
            answer=self.answer,
            message=self.refuses if self.answer == "refused" else "",
        )

    def _finish(self, directive: Directive) -> None:
        if self.refuses and directive.space == NEW:
            self.answer = "refused"
            return
        self.answer, before = "done", self.space
        self.space = directive.space
        if before != self.space == NEW:
            self.on_new(self)


class FakeSite:
    """Edges, what the server knows of them, and a roll-out of `NEW`."""

    def __init__(self, edges: list[FakeEdge], settings: RolloutSettings = QUICK) -> None:
        self.now_us = 1_000_000_000
        self.edges = {edge.edge_id: edge for edge in edges}
        self.settings = settings
        self.rollout: Rollout = begin(
            rollout_key=1, space=NEW, previous=OLD, parents={NEW: OLD}, settings=settings, now_us=self.now_us
        )
        self.restart_server()

    def restart_server(self) -> None:
        """Memory is lost; the roll-out is read from where it was written down."""
        self.book = FleetBook(self.settings, clock_us=lambda: self.now_us)
        self.rollout = Rollout.model_validate_json(self.rollout.model_dump_json())

    def hear_all(self, seconds: float) -> None:
        self.now_us += int(seconds * 1e6)
        for edge in self.edges.values():
            if not edge.is_away:
                edge.live(seconds)
                self.book.note(edge.report())

    def tick(self, seconds: float = 1.0) -> Rollout:
        self.hear_all(seconds)
        self.rollout = advance(self.rollout, self.book.fleet(), self.settings)
        for edge in self.edges.values():
            if not edge.is_away:
                edge.hear(directive_for(self.rollout, edge.edge_id))
        return self.rollout

    def run(self, until: Callable[[Rollout], bool], *, most_ticks: int = 400) -> Rollout:
        for _ in range(most_ticks):
            if until(self.tick()):
                return self.rollout
        raise AssertionError(f"after {most_ticks} s: {self.rollout.model_dump_json(indent=1)}")

    def run_until(self, *states: str) -> Rollout:
        return self.run(lambda rollout: rollout.state in states)

    def run_for(self, seconds: int) -> Rollout:
        for _ in range(seconds):
            self.tick()
        return self.rollout

    def spaces(self) -> dict[str, str]:
        return {edge_id: edge.space for edge_id, edge in self.edges.items()}

    def states(self) -> dict[str, str]:
        return {edge_id: edge.state for edge_id, edge in self.rollout.edges.items()}


def edges_of(count: int) -> list[FakeEdge]:
    """edge1 has seen most, and so on."""
    return [FakeEdge(f"edge{number + 1}", embeddings=1000 * (count - number)) for number in range(count)]
