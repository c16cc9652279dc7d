from __future__ import annotations

from dataclasses import replace

from server.adaptation.run import AdaptationRun
from server.adaptation.view import RunView
from server.errors import StorageError
from server.gate.verdict import Verdict
from server.loop_metrics import LoopMetrics
from server.releases.rollout import EdgeState, Rollout

RUN = AdaptationRun(
    run_key=3,
    state="training",
    trigger="drift",
    actor="adaptation",
    started_us=5_000_000,
    changed_us=6,
    parent="a-1",
    num_crops_wanted=10,
    num_crops_received=8,
    crop_bytes=9000,
)
ROLLOUT = Rollout(
    rollout_key=1,
    space="a-2",
    previous="a-1",
    parents={},
    ring=1,
    rings=("1", "all"),
    started_us=1,
    changed_us=1,
    edges={"e1": EdgeState(ring=0, state="installed"), "e2": EdgeState(ring=1)},
)
METRICS = LoopMetrics(
    latest_run=lambda: RUN,
    view=lambda run: RunView(run=run, progress=0.5, epochs=((1, {}), (2, {}))),
    verdicts=lambda: [Verdict(is_accepted=True, checks=()), Verdict(is_accepted=True, checks=(), forced_by="ann")],
    latest_rollout=lambda: ROLLOUT,
    crop_lies=lambda: {"e1": 4},
)


def samples(metrics: LoopMetrics) -> dict[str, float]:
    return {
        " ".join((sample.name.removeprefix("osprey_server_"), *sample.labels.values())): sample.value
        for family in metrics()
        for sample in family.samples
    }


def test_a_run_and_its_roll_out_can_be_watched() -> None:
    seen = samples(METRICS)
    assert {
        "adaptation_state training": 1,
        "adaptation_state done": 0,
        "adaptation_progress": 0.5,
        "adaptation_epoch": 2,
        "adaptation_crops_wanted": 10,
        "adaptation_crops_received": 8,
        "adaptation_crop_bytes": 9000,
        "gate_verdicts accepted": 1,
        "gate_verdicts forced": 1,
        "gate_verdicts refused": 0,
        "rollout_state running": 1,
        "rollout_ring": 1,
        "rollout_edges installed": 1,
        "rollout_edges waiting": 1,
        "crops_refused_total e1": 4,
    }.items() <= seen.items()


def test_before_the_first_run_all_states_are_zero() -> None:
    seen = samples(replace(METRICS, latest_run=lambda: None, latest_rollout=lambda: None))
    assert seen["adaptation_state done"] == seen["rollout_state done"] == 0
    assert "adaptation_progress" not in seen


def test_records_that_cannot_be_read_cost_only_their_families() -> None:
    def fail() -> AdaptationRun:
        raise StorageError("records: latest failed")

    seen = samples(replace(METRICS, latest_run=fail))
    assert "rollout_ring" in seen
    assert "gate_verdicts accepted" not in seen
