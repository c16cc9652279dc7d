from __future__ import annotations

from dataclasses import replace

import pytest

from reid.types import ReleaseRef
from server.adaptation.run import AdaptationRun, failed
from server.releases.rollout import EdgeState, Phase, RolloutSettings, begin
from server.releases.view import EdgeRolloutView, RolloutView
from server.web.pages.refresh import steps_of
from server.web.pages.rollouts import rings_of

RUN = AdaptationRun(run_key=1, trigger="operator", actor="ann", started_us=1, changed_us=1, parent="p-1")
REF = ReleaseRef(name="tiny", version="1", space="tiny-1")


@pytest.mark.parametrize(
    ("run", "states"),
    [
        (RUN, "now ahead ahead ahead ahead"),
        (replace(RUN, state="training"), "over over now ahead ahead"),
        (replace(RUN, state="refused"), "over over over now ahead"),
        (replace(RUN, state="done"), "over over over over ahead"),
        (replace(RUN, state="done", rollout_key=4), "over over over over over"),
        (failed(replace(RUN, state="snapshot"), "full disk", now_us=2), "over now ahead ahead ahead"),
    ],
    ids=["begun", "trains", "refused", "accepted", "rolled-out", "failed"],
)
def test_a_run_shows_how_far_it_came(run: AdaptationRun, states: str) -> None:
    assert " ".join(step.state for step in steps_of(run)) == states


def view(state: Phase, *edges: EdgeRolloutView) -> RolloutView:
    return RolloutView(
        rollout_key=1,
        release=REF,
        previous=REF,
        state=state,
        ring=1,
        num_rings=3,
        reason="",
        started_us=1,
        changed_us=1,
        edges=edges,
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", ["over", "under way", "waiting"]),
        ("paused", ["over", "paused", "waiting"]),
        ("rolling_back", ["over", "taken back", "not reached"]),
        ("done", ["over", "over", "over"]),
    ],
)
def test_rings_tell_how_far_a_rollout_is(state: Phase, words: list[str]) -> None:
    settings = RolloutSettings(rings=("1", "10%", "all"))
    begun = begin(rollout_key=1, space="tiny-2", previous="tiny-1", parents={}, settings=settings, now_us=1)
    edge = EdgeRolloutView(edge_id="e1", ring=0, state="installed", message="", runs=REF, is_attending=True)
    rings = rings_of(begun.with_(ring=1, state=state, edges={"e1": EdgeState(ring=0)}), view(state, edge))
    assert [ring.state for ring in rings] == words
    assert [len(ring.edges) for ring in rings] == [1, 0, 0]
    assert [ring.size for ring in rings] == ["1", "10%", "all"]
