"""One run of the loop, and the moves it may make. Pure.

    collecting -> snapshot -> training -> gating -> rolling_out -> done
                                                 -> refused           the gate's word
                                                 -> done              accepted, and roll-outs are left to operators
    any of the first five -> failed | stopped                         resumed: back to where it was

A run is written before each step is taken, and each step can be taken again: whatever is killed, the next server goes
on. `done` and `refused` are final. At most one run is in one of the first five states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from server.errors import ConflictError, StorageError

RunState = Literal[
    "collecting", "snapshot", "training", "gating", "rolling_out", "done", "refused", "failed", "stopped"
]
Trigger = Literal["tracklets", "drift", "schedule", "operator"]

ACTIVE: tuple[RunState, ...] = ("collecting", "snapshot", "training", "gating", "rolling_out")
_NEXT: Mapping[RunState, tuple[RunState, ...]] = {
    "collecting": ("snapshot",),
    "snapshot": ("training",),
    "training": ("gating",),
    "gating": ("rolling_out", "refused", "done"),
    "rolling_out": ("done",),
}
_NEED_SNAPSHOT: tuple[RunState, ...] = ("training", "gating")


@dataclass(frozen=True, kw_only=True)
class AdaptationRun:
    """State of a run.

    Attributes:
        run_key: Its number; 0 until it is stored.
        state: Where it is.
        trigger: What set it off.
        actor: Who did.
        started_us: When it began, microseconds since the Unix epoch.
        changed_us: When it last made a move.
        message: Why it stands as it does.
        parent: Space of the release that it starts from.
        space: Space of the release that it made; empty before.
        first_tracklet_key: Tracklets from here on came after it began.
        num_crops_wanted: Asked for, those at hand included.
        num_crops_received: At hand.
        num_crops_expired: That no edge has any more.
        crop_bytes: That came for it.
        attempt: Raised whenever a process is started anew; names the folder of the process.
        num_losses: How often its process was gone after the server came back.
        rollout_key: Of its roll-out; 0 before.
        resumes_in: Where a failed or stopped run goes on.
    """

    run_key: int = 0
    state: RunState = "collecting"
    trigger: Trigger
    actor: str
    started_us: int
    changed_us: int
    message: str = ""
    parent: str
    space: str = ""
    first_tracklet_key: int = 0
    num_crops_wanted: int = 0
    num_crops_received: int = 0
    num_crops_expired: int = 0
    crop_bytes: int = 0
    attempt: int = 0
    num_losses: int = 0
    rollout_key: int = 0
    resumes_in: RunState = "collecting"

    @property
    def is_active(self) -> bool:
        """Under way."""
        return self.state in ACTIVE


def next_step(run: AdaptationRun, state: RunState, *, message: str, now_us: int) -> AdaptationRun:
    """The run, gone on to its next state."""
    assert state in _NEXT.get(run.state, ()), f"a run does not go from {run.state} to {state}"
    return replace(run, state=state, message=message, changed_us=now_us, attempt=run.attempt + 1, num_losses=0)


def failed(run: AdaptationRun, message: str, *, now_us: int) -> AdaptationRun:
    """The run, ended by a fault; it can be resumed."""
    return _broken_off(run, "failed", message, now_us)


def stopped(run: AdaptationRun, actor: str, *, now_us: int) -> AdaptationRun:
    """The run, ended by an operator; it can be resumed.

    Raises:
        ConflictError: It is not under way.
    """
    if not run.is_active:
        raise ConflictError(f"adaptation run {run.run_key} is not under way: it is {run.state}")
    return _broken_off(run, "stopped", f"stopped by {actor} while {_doing(run.state)}", now_us)


def resumed(run: AdaptationRun, actor: str, *, served: str, has_snapshot: bool, now_us: int) -> AdaptationRun:
    """The run, gone on with where it was.

    Args:
        run: Failed or stopped.
        actor: Who asks.
        served: Space that the server serves.
        has_snapshot: Its crops lie in its folder still; without them they are put together again.
        now_us: Server's clock.

    Raises:
        ConflictError: It has not been broken off, or another release is served by now.
    """
    if run.state not in ("failed", "stopped"):
        raise ConflictError(f"adaptation run {run.run_key} is {run.state}: only a failed or stopped one can go on")
    if run.rollout_key:
        raise ConflictError(
            f"the roll-out of adaptation run {run.run_key} has ended: 'osprey-server rollout start {run.space}' "
            "begins another one"
        )
    if served != run.parent:
        raise ConflictError(
            f"adaptation run {run.run_key} began from {run.parent}, and {served} is served now: "
            "'osprey-server adapt run' begins another one"
        )
    is_bare = run.resumes_in in _NEED_SNAPSHOT and not has_snapshot
    state: RunState = "collecting" if is_bare else run.resumes_in
    message = f"resumed by {actor}"
    return replace(run, state=state, message=message, changed_us=now_us, attempt=run.attempt + 1, num_losses=0)


def to_document(run: AdaptationRun) -> str:
    """The run as JSON."""
    return json.dumps(asdict(run))


def from_document(document: str) -> AdaptationRun:
    """The run behind its JSON; what a newer server added is left out.

    Raises:
        StorageError: It is damaged.
    """
    try:
        values: dict[str, Any] = json.loads(document)
        known = {field.name for field in fields(AdaptationRun)}
        run = AdaptationRun(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(f"an adaptation run in the records is damaged: {error}") from None
    if run.state not in get_args(RunState):
        raise StorageError(f"adaptation run {run.run_key} is {run.state!r}, which this server does not know")
    return run


def _broken_off(run: AdaptationRun, state: RunState, message: str, now_us: int) -> AdaptationRun:
    assert run.is_active, f"a run that is {run.state} cannot be broken off"
    return replace(run, state=state, message=message, changed_us=now_us, resumes_in=run.state)


def _doing(state: RunState) -> str:
    return {
        "collecting": "collecting crops",
        "snapshot": "putting its data set together",
        "rolling_out": "rolling out",
    }.get(state, state)
