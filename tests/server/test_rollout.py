from __future__ import annotations

import pytest
from fakes_fleet import NEW, OLD, QUICK, FakeEdge, FakeSite, edges_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from server.errors import ConflictError
from server.releases.rollout import Rollout, RolloutSettings, begin, directive_for, halt, pause, resume, ring_size


def slow(edge: FakeEdge) -> None:
    edge.embed_ms *= 4


def failing(edge: FakeEdge) -> None:
    edge.fault_share = 0.5


def blind(edge: FakeEdge) -> None:
    edge.rate_hz = 0.0


def collapsed(edge: FakeEdge) -> None:
    edge.coherence = 0.999


def scattered(edge: FakeEdge) -> None:
    edge.coherence = 0.4


def refusing(edge: FakeEdge) -> FakeEdge:
    edge.refuses = "the back end cannot run it"
    return edge


def test_rings_are_asked_one_after_the_other_the_busiest_edge_first() -> None:
    site = FakeSite(edges_of(4))
    first = site.run(lambda rollout: any(edge.state == "asked" for edge in rollout.edges.values()))
    assert list(first.edges) == ["edge1"]
    second = site.run(lambda rollout: rollout.ring == 1 and len(rollout.edges) == 2)
    assert second.edges["edge1"].state == "installed"
    assert list(second.edges) == ["edge1", "edge2"]
    site.run_until("done")
    assert set(site.spaces().values()) == {NEW}


def test_ring_waits_for_every_edge_to_have_run_it_for_the_soak_time() -> None:
    site = FakeSite(edges_of(3))
    site.run(lambda rollout: "installed" in site.states().values())
    assert site.run_for(int(QUICK.soak_s) - 1).ring == 0
    assert site.run_for(2).ring == 1


def test_edge_is_watched_before_it_is_asked() -> None:
    site = FakeSite(edges_of(1))
    assert site.run_for(int(QUICK.baseline_s)).edges["edge1"].state == "waiting"
    before = site.run(lambda rollout: rollout.edges["edge1"].state == "asked").edges["edge1"].before
    assert before is not None
    assert before.embeddings_per_s == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("ill", [slow, failing, blind, collapsed, scattered], ids=lambda ill: ill.__name__)
def test_ill_ring_halts_and_goes_back(ill: object) -> None:
    edges = edges_of(3)
    edges[0].on_new = ill  # type: ignore[assignment]
    site = FakeSite(edges)
    halted = site.run_until("rolling_back")
    assert halted.reason.startswith("edge1: ")
    assert site.run_until("aborted").edges["edge1"].state == "rolled_back"
    assert site.spaces() == {"edge1": OLD, "edge2": OLD, "edge3": OLD}
    assert edges[0].log == [f"install {NEW}", f"roll_back {OLD}"]


def test_too_many_faults_do_not_wait_for_the_soak_time() -> None:
    edges = edges_of(1)
    edges[0].on_new = failing
    site = FakeSite(edges)
    site.run(lambda rollout: "installed" in site.states().values())
    assert "fails" in site.run_for(3).reason


def test_night_that_falls_for_all_cameras_is_no_illness() -> None:
    site = FakeSite(edges_of(4))
    site.run(lambda rollout: "installed" in site.states().values())
    for edge in site.edges.values():
        edge.rate_hz, edge.coherence = 1.0, 0.6
    assert site.run(lambda rollout: rollout.ring == 1 or rollout.state != "running").state == "running"


def test_refusal_in_the_first_ring_halts() -> None:
    site = FakeSite([refusing(edge) for edge in edges_of(1)] + [FakeEdge("edge2")])
    halted = site.run_until("rolling_back", "aborted")
    assert halted.reason == "edge1 refused: the back end cannot run it"
    assert site.edges["edge1"].log == [f"install {NEW}"] * QUICK.max_attempts


def test_edge_that_cannot_run_it_stays_on_its_release_and_is_reported() -> None:
    edges = edges_of(4)
    refusing(edges[3])
    site = FakeSite(edges)
    done = site.run_until("done")
    assert done.edges["edge4"].state == "refused"
    assert done.edges["edge4"].message == "the back end cannot run it"
    assert site.spaces()["edge4"] == OLD
    assert site.run_for(50).edges["edge4"].state == "refused"


def test_too_many_refusals_halt_a_later_ring() -> None:
    edges = edges_of(6)
    refusing(edges[1]), refusing(edges[2])
    site = FakeSite(edges)
    site.run_until("aborted")
    assert set(site.spaces().values()) == {OLD}


def test_refusal_by_a_restart_is_asked_again() -> None:
    site = FakeSite(edges_of(1))
    site.run(lambda rollout: site.edges["edge1"].answer == "accepted")
    site.edges["edge1"].restart()
    site.run_until("done")
    assert site.spaces() == {"edge1": NEW}


def test_edge_that_vanishes_with_the_release_halts() -> None:
    site = FakeSite(edges_of(2))
    site.run(lambda rollout: "installed" in site.states().values())
    site.edges["edge1"].is_away = True
    assert "not heard" in site.run_until("rolling_back", "aborted").reason
    site.run_until("aborted")
    site.edges["edge1"].is_away = False
    site.run(lambda rollout: site.spaces()["edge1"] == OLD)


def test_edge_that_goes_before_it_was_reached_makes_room_for_another() -> None:
    site = FakeSite(edges_of(2))
    site.tick()
    site.edges["edge1"].is_away = True
    site.run(lambda rollout: "edge2" in rollout.edges)
    assert site.run_until("done").edges.keys() == {"edge2"}
    site.edges["edge1"].is_away = False
    site.run(lambda rollout: site.spaces()["edge1"] == NEW)
    assert site.rollout.state == "done"


def test_edge_two_releases_behind_is_brought_up_after_an_abort() -> None:
    site = FakeSite(edges_of(1))
    site.run_for(5)
    site.rollout = halt(site.rollout, "enough", now_us=site.now_us)
    site.run_until("aborted")
    site.edges["late"] = FakeEdge("late", space="tiny-0-9")
    site.run(lambda rollout: site.spaces()["late"] == OLD)


def test_edge_that_falls_back_by_itself_halts_the_first_ring() -> None:
    site = FakeSite(edges_of(1))
    site.run(lambda rollout: "installed" in site.states().values())
    site.edges["edge1"].space = OLD
    assert "fell back" in site.run_until("rolling_back", "aborted").reason


def test_edge_that_never_answers_has_refused() -> None:
    edges = edges_of(1)
    edges[0].install_s = 1e9
    assert "no answer" in FakeSite(edges).run_until("rolling_back").reason


def test_paused_roll_out_asks_nobody_else() -> None:
    site = FakeSite(edges_of(3))
    site.run(lambda rollout: "installed" in site.states().values())
    site.rollout = pause(site.rollout, "lunch")
    assert site.run_for(100).edges.keys() == {"edge1"}
    site.rollout = resume(site.rollout)
    site.run_until("done")


def test_abort_in_mid_install_brings_every_asked_edge_back() -> None:
    site = FakeSite(edges_of(4))
    site.run(lambda rollout: rollout.ring == 2 and site.edges["edge4"].answer == "accepted")
    site.rollout = halt(site.rollout, "not today", now_us=site.now_us)
    site.run_until("aborted")
    assert set(site.spaces().values()) == {OLD}


def test_site_without_edges_waits() -> None:
    site = FakeSite([])
    assert site.run_for(50).state == "running"
    site.edges["edge1"] = FakeEdge("edge1")
    site.run_until("done")


@pytest.mark.parametrize(
    ("move", "states"),
    [
        (lambda rollout: pause(rollout, ""), {"running"}),
        (resume, {"paused"}),
        (lambda rollout: halt(rollout, "", now_us=0), {"running", "paused"}),
    ],
    ids=["pause", "resume", "halt"],
)
def test_operators_moves_are_refused_in_every_other_state(move: object, states: set[str]) -> None:
    rollout = begin(rollout_key=1, space=NEW, previous=OLD, parents={}, settings=QUICK, now_us=0)
    for state in ("running", "paused", "rolling_back", "done", "aborted"):
        if state in states:
            assert move(rollout.with_(state=state)).state != state  # type: ignore[operator]
        else:
            with pytest.raises(ConflictError, match=f"is {state}"):
                move(rollout.with_(state=state))  # type: ignore[operator]


def test_way_back_is_told_from_the_family_of_releases() -> None:
    parents = {"c": "b", "b": "a", "x": "y", "y": "x"}
    rollout = begin(rollout_key=1, space="c", previous="b", parents=parents, settings=QUICK, now_us=0)
    assert rollout.is_back("a", "c")
    assert not rollout.is_back("c", "a")
    assert not rollout.is_back("a", "x")  # a circle ends


@pytest.mark.parametrize(
    ("ring", "num_edges", "size"),
    [("1", 5, 1), ("10%", 5, 1), ("10%", 25, 3), ("all", 7, 7), ("100%", 7, 7)],
)
def test_ring_sizes(ring: str, num_edges: int, size: int) -> None:
    assert ring_size(ring, num_edges) == size


@pytest.mark.parametrize("rings", [(), ("1",), ("0", "all"), ("some", "all"), ("1.5%", "all")])
def test_rings_that_make_no_sense_are_refused(rings: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="ring"):
        RolloutSettings(rings=rings)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["tick", "away", "back", "restart", "server", "ill", "refuse", "pause", "resume", "abort"]),
        st.integers(0, 4),
    ),
    max_size=60,
)
_MOVES = {
    "running": {"running", "paused", "rolling_back", "done"},
    "paused": {"paused", "running", "rolling_back"},
    "rolling_back": {"rolling_back", "aborted"},
    "done": {"done"},
    "aborted": {"aborted"},
}


def _happen(site: FakeSite, what: str, number: int) -> None:
    edge = list(site.edges.values())[number]
    if what in ("away", "back"):
        edge.is_away = what == "away"
    elif what == "restart":
        edge.restart()
    elif what == "server":
        site.restart_server()
    elif what == "ill":
        edge.on_new = failing
    elif what == "refuse":
        refusing(edge)
    try:
        if what == "pause":
            site.rollout = pause(site.rollout, "")
        elif what == "resume":
            site.rollout = resume(site.rollout)
        elif what == "abort":
            site.rollout = halt(site.rollout, "", now_us=site.now_us)
    except ConflictError:
        pass


def _check_always(before: Rollout, after: Rollout, settings: RolloutSettings) -> None:
    assert after.state in _MOVES[before.state]
    assert after.ring >= before.ring
    assert Rollout.model_validate_json(after.model_dump_json()) == after
    asked_new = [edge for name in after.edges if (edge := directive_for(after, name)) and edge.space == after.space]
    if after.state in ("rolling_back", "aborted"):
        assert not asked_new  # nobody is told to install what is taken back
    if after.ring == 0 and after.state == "running":
        assert len(after.edges) <= ring_size(settings.rings[0], 5)
    for name, edge in after.edges.items():
        if edge.ring > after.ring:
            raise AssertionError(f"{name} was taken before its ring")


@settings(max_examples=150, deadline=None)
@given(_EVENTS)
def test_whatever_happens_every_edge_ends_on_one_valid_release(events: list[tuple[str, int]]) -> None:
    site = FakeSite(edges_of(5))
    for what, number in events:
        before = site.rollout
        _happen(site, what, number)
        _check_always(before, site.rollout, site.settings)
        for _ in range(3):
            before = site.rollout
            _check_always(before, site.tick(), site.settings)
    for edge in site.edges.values():
        edge.is_away = False
    if site.rollout.state == "paused":
        site.rollout = resume(site.rollout)
    site.run_until("done", "aborted")
    site.run_for(100)
    wanted = NEW if site.rollout.state == "done" else OLD
    for name, space in site.spaces().items():
        refused = site.rollout.edges[name].state == "refused" if name in site.rollout.edges else False
        assert space == wanted or refused
    if wanted == OLD:
        assert set(site.spaces().values()) == {OLD}
