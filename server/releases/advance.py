"""The moves that a roll-out makes by itself. The rules are at the top of `rollout.py`; pure like that."""

from __future__ import annotations

from server.releases.health import drift, health_between, illness, too_many_faults
from server.releases.rollout import Action, EdgeState, EdgeView, Fleet, Rollout, RolloutSettings, asked, halt, ring_size


def advance(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    """What follows from what the edges say.

    Args:
        rollout: As it stands.
        fleet: What the edges say now.
        settings: Of this server; the rings are those with which the roll-out began.

    Returns:
        Equal to `rollout` if nothing follows.
    """
    rollout = _absorb(rollout, fleet, settings)
    if rollout.state == "running":
        return _run(rollout, fleet, settings)
    if rollout.state in ("rolling_back", "aborted"):
        return _bring_back(rollout, fleet, settings)
    if rollout.state == "done":
        return _catch_up(rollout, fleet)
    return rollout


def _absorb(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    """Take in the answers."""
    edges = {
        edge_id: _answered(rollout, edge, fleet.views[edge_id], fleet, settings) if edge_id in fleet.views else edge
        for edge_id, edge in rollout.edges.items()
    }
    return rollout.with_(edges=edges) if edges != rollout.edges else rollout


def _answered(rollout: Rollout, edge: EdgeState, view: EdgeView, fleet: Fleet, settings: RolloutSettings) -> EdgeState:
    if edge.state == "installed":
        return _still_installed(rollout, edge, view)
    if edge.state != "asked" or edge.directive is None:
        return edge
    answer = view.answer if view.directive_id == edge.directive.directive_id else ""
    if answer == "refused":
        return _refused(rollout, edge, view.message or "it gave no reason", fleet, settings)
    if answer == "done" and view.space == edge.directive.space:
        is_new = view.space == rollout.space
        changes = {"state": "installed" if is_new else "rolled_back", "mark": view.counters if is_new else None}
        return edge.model_copy(update={**changes, "message": view.message})
    waited_s = min((fleet.now_us - edge.asked_us) / 1e6, view.watched_s)
    if view.is_attending and waited_s > settings.install_deadline_s:
        return _refused(rollout, edge, f"no answer within {settings.install_deadline_s:g} s", fleet, settings)
    if answer == "accepted" and not edge.is_accepted:
        return edge.model_copy(update={"is_accepted": True, "message": view.message})
    return edge


def _still_installed(rollout: Rollout, edge: EdgeState, view: EdgeView) -> EdgeState:
    if rollout.state == "running" and view.space not in ("", rollout.space):
        return edge.model_copy(update={"state": "refused", "message": f"it fell back to {view.space} by itself"})
    if edge.mark is not None and not edge.mark.precedes(view.counters):
        return edge.model_copy(update={"mark": view.counters})  # its agent started anew: watch it from there
    return edge


def _refused(rollout: Rollout, edge: EdgeState, message: str, fleet: Fleet, settings: RolloutSettings) -> EdgeState:
    """Another attempt, or none."""
    assert edge.directive is not None
    if edge.attempts >= settings.max_attempts:
        return edge.model_copy(update={"state": "refused", "message": message})
    directive = edge.directive
    return asked(rollout, edge, directive.action, directive.space, now_us=fleet.now_us, message=message)


def _run(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    rollout = _fill_ring(rollout, fleet, settings)
    if reason := _failure(rollout, fleet, settings):
        return halt(rollout, reason, now_us=fleet.now_us)
    rollout = _ask_ring(rollout, fleet, settings)
    if not _is_ring_over(rollout, fleet, settings):
        return rollout
    if rollout.ring == len(rollout.rings) - 1:
        return rollout.with_(state="done", reason="", rest_before={})
    return rollout.with_(ring=rollout.ring + 1, rest_before={})


def _fill_ring(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    """Let go of edges that went away before they were reached, and take others in their place."""
    edges = {
        edge_id: edge for edge_id, edge in rollout.edges.items() if not _is_out_of_reach(edge_id, edge, fleet, settings)
    }
    others = [edge_id for edge_id in fleet.attending() if edge_id not in edges]
    wanted = ring_size(rollout.rings[rollout.ring], len(edges) + len(others))
    for edge_id in others[: max(0, wanted - len(edges))]:
        edges[edge_id] = EdgeState(ring=rollout.ring)
    return rollout.with_(edges=edges) if edges != rollout.edges else rollout


def _is_out_of_reach(edge_id: str, edge: EdgeState, fleet: Fleet, settings: RolloutSettings) -> bool:
    if edge.state == "waiting":
        return not fleet.is_attending(edge_id)
    return edge.state == "asked" and not edge.is_accepted and fleet.silent_s(edge_id) >= settings.lost_s


def _ask_ring(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    attending = fleet.attending()
    for edge_id, edge in rollout.edges.items():
        view = attending.get(edge_id)
        if edge.state != "waiting" or view is None or view.watched_s < settings.baseline_s:
            continue
        if not rollout.rest_before:
            rest = {name: other.recent for name, other in attending.items() if name not in rollout.edges}
            rollout = rollout.with_(rest_before=rest)
        before = edge.model_copy(update={"before": view.recent})
        rollout = _ask(rollout, edge_id, before, view, rollout.space, fleet)
    return rollout


def _failure(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> str:
    """Why the ring must be taken back; empty if it need not."""
    members = {edge_id: edge for edge_id, edge in rollout.edges.items() if edge.ring == rollout.ring}
    refusals = [f"{edge_id} refused: {edge.message}" for edge_id, edge in members.items() if edge.state == "refused"]
    ills = [
        f"{edge_id}: {reason}"
        for edge_id, edge in members.items()
        if (reason := _illness(rollout, edge_id, edge, fleet, settings))
    ]
    is_first = rollout.ring == 0
    most_refusals = 0 if is_first else max(1, int(settings.max_refused_share * len(rollout.edges)))
    most_ills = 0 if is_first else int(settings.max_ill_share * len(members))
    if len(ills) > most_ills:
        return "; ".join(ills)
    return "; ".join(refusals) if len(refusals) > most_refusals else ""


def _illness(rollout: Rollout, edge_id: str, edge: EdgeState, fleet: Fleet, settings: RolloutSettings) -> str:
    has_it = edge.state == "installed" or (edge.state == "asked" and edge.is_accepted)
    if has_it and fleet.silent_s(edge_id) >= settings.lost_s:
        return f"not heard for {fleet.silent_s(edge_id):.0f} s since it had the release"
    view = fleet.views.get(edge_id)
    if edge.state != "installed" or view is None or edge.before is None or edge.mark is None:
        return ""
    if reason := too_many_faults(edge.before, edge.mark, view.counters, settings.health):
        return reason
    over_s = (view.counters.time_us - edge.mark.time_us) / 1e6
    if over_s < settings.soak_s:
        return ""
    after = health_between(edge.mark, view.counters, embed_ms=view.recent.embed_ms, coherence=view.recent.coherence)
    there = fleet.attending()
    rest = drift((before, there[name].recent) for name, before in rollout.rest_before.items() if name in there)
    return illness(edge.before, after, rest, over_s=over_s, settings=settings.health)


def _is_ring_over(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> bool:
    members = {edge_id: edge for edge_id, edge in rollout.edges.items() if edge.ring == rollout.ring}
    has_some = any(edge.state == "installed" for edge in rollout.edges.values())
    return has_some and all(_is_settled(edge_id, edge, fleet, settings) for edge_id, edge in members.items())


def _is_settled(edge_id: str, edge: EdgeState, fleet: Fleet, settings: RolloutSettings) -> bool:
    """Nothing is to be waited for; whether it is well is another question."""
    if edge.state == "refused":
        return True
    if fleet.silent_s(edge_id) >= settings.lost_s:
        return True
    view = fleet.views.get(edge_id)
    if edge.state != "installed" or edge.mark is None or view is None:
        return False
    return (view.counters.time_us - edge.mark.time_us) / 1e6 >= settings.soak_s


def _bring_back(rollout: Rollout, fleet: Fleet, settings: RolloutSettings) -> Rollout:
    for edge_id, view in fleet.attending().items():
        edge = rollout.edges.get(edge_id) or EdgeState(ring=rollout.ring)
        is_astray = view.space == rollout.space or (rollout.state == "aborted" and edge.state == "waiting")
        if edge.state == "asked" or view.space in ("", rollout.previous) or not is_astray:
            continue
        if edge.attempts < settings.max_attempts or edge.state != "refused":
            rollout = _ask(rollout, edge_id, edge, view, rollout.previous, fleet)
    is_waiting = any(
        edge.state == "asked" and fleet.silent_s(edge_id) < settings.lost_s for edge_id, edge in rollout.edges.items()
    )
    return rollout if is_waiting or rollout.state == "aborted" else rollout.with_(state="aborted")


def _catch_up(rollout: Rollout, fleet: Fleet) -> Rollout:
    for edge_id, view in fleet.attending().items():
        edge = rollout.edges.get(edge_id) or EdgeState(ring=len(rollout.rings) - 1)
        if edge.state == "waiting" and view.space not in ("", rollout.space):
            rollout = _ask(rollout, edge_id, edge, view, rollout.space, fleet)
    return rollout


def _ask(rollout: Rollout, edge_id: str, edge: EdgeState, view: EdgeView, space: str, fleet: Fleet) -> Rollout:
    action: Action = "roll_back" if rollout.is_back(space, view.space) else "install"
    return rollout.with_edge(edge_id, asked(rollout, edge, action, space, now_us=fleet.now_us))
