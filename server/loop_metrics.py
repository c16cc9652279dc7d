"""What Prometheus reads of the closed loop: the latest adaptation run, verdicts, and the latest roll-out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from prometheus_client.core import Metric

from reid.exposition import Families
from server.adaptation.run import AdaptationRun, RunState
from server.adaptation.view import RunView
from server.errors import StorageError
from server.gate.verdict import Verdict
from server.releases.rollout import EdgePhase, Phase, Rollout

_FAMILIES = Families("osprey_server")


@dataclass(frozen=True, kw_only=True)
class LoopMetrics:
    """Makes the metric families of the loop; called by the thread of the page.

    Attributes:
        latest_run: The latest run; None before the first. May raise StorageError.
        view: A run with its epochs.
        verdicts: Of all releases that were judged. May raise StorageError.
        latest_rollout: The latest roll-out; None before the first.
        crop_lies: By edge_id, crops and answers that were refused.
    """

    latest_run: Callable[[], AdaptationRun | None]
    view: Callable[[AdaptationRun], RunView]
    verdicts: Callable[[], list[Verdict]]
    latest_rollout: Callable[[], Rollout | None]
    crop_lies: Callable[[], Mapping[str, int]]

    def __call__(self) -> Iterator[Metric]:
        """All families; those that need the records are left out while these cannot be read."""
        yield _FAMILIES.counter("crops_refused", "Answers for crops that were refused.", self.crop_lies(), ["edge_id"])
        yield from self._rollout()
        try:
            run, verdicts = self.latest_run(), self.verdicts()
        except StorageError:
            return
        yield from self._run(run)
        kinds = Counter(_kind(verdict) for verdict in verdicts)
        counts = {kind: kinds[kind] for kind in ("accepted", "refused", "forced")}
        yield _FAMILIES.gauge("gate_verdicts", "Releases by what the gate said.", counts, ["verdict"])

    def _run(self, run: AdaptationRun | None) -> Iterator[Metric]:
        states = {state: float(run is not None and run.state == state) for state in get_args(RunState)}
        yield _FAMILIES.gauge("adaptation_state", "1 for the state of the latest run.", states, ["state"])
        if run is None:
            return
        view = self.view(run)
        for name, text, value in (
            ("run", "Number of the latest run.", run.run_key),
            ("started_timestamp_seconds", "When the latest run began.", run.started_us / 1e6),
            ("progress", "Share of its training that is done.", view.progress),
            ("epoch", "Its epochs that are done.", len(view.epochs)),
            ("crops_wanted", "Crops that it asked for.", run.num_crops_wanted),
            ("crops_received", "Crops that it has.", run.num_crops_received),
            ("crops_expired", "Crops that no edge has any more.", run.num_crops_expired),
            ("crop_bytes", "Bytes of crops that came for it.", run.crop_bytes),
        ):
            yield _FAMILIES.gauge(f"adaptation_{name}", text, {"": value})

    def _rollout(self) -> Iterator[Metric]:
        rollout = self.latest_rollout()
        states = {state: float(rollout is not None and rollout.state == state) for state in get_args(Phase)}
        yield _FAMILIES.gauge("rollout_state", "1 for the state of the latest roll-out.", states, ["state"])
        if rollout is None:
            return
        yield _FAMILIES.gauge("rollout_ring", "Ring under way, from 0.", {"": rollout.ring})
        phases = Counter(edge.state for edge in rollout.edges.values())
        counts = {phase: phases[phase] for phase in get_args(EdgePhase)}
        yield _FAMILIES.gauge("rollout_edges", "Edges of the latest roll-out by their state.", counts, ["state"])


def _kind(verdict: Verdict) -> str:
    if verdict.forced_by:
        return "forced"
    return "accepted" if verdict.is_accepted else "refused"
