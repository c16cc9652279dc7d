"""Changes the release while the agent runs: prepare beside, check, swap, watch, confirm or roll back.

    phase             event       next              what is done
    idle              asked       preparing         open the release beside the running one; check its golden crops
    preparing         prepared    probation         swap between two batches; keep the old one
    preparing         no_memory   preparing_alone   close the running one, open the new one; batches wait meanwhile
    preparing         failed      idle              nothing was changed
    preparing_alone   prepared    probation         put it in; there is no old one to keep
    preparing_alone   failed      idle              open the old one again
    probation         proven      idle              what starts from now on is this one; let the old one go
    probation         failed      idle              the old one runs again

Asked in any other phase: `busy`; whoever asks through the store waits until the phase is idle. Every step is written to
the store before it is taken, so that a start after a power loss knows what was not confirmed. What is done here takes
its time in a thread of its own: no camera waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import structlog

from edge.backends.selection import Selection
from edge.engine import Engine, log_selection
from edge.errors import DeviceMemoryError, InstallError
from edge.faults import Faults
from edge.heartbeat import Heartbeat
from edge.releases.state import WITHDRAWN, ReleaseState, Request, why_older
from edge.releases.store import ReleaseSettings, ReleaseStore
from reid.errors import OspreyError
from reid.release import Release

logger = structlog.get_logger(__name__)

_POLL_S = 0.2


class Phase(str, Enum):
    """See the top of the file."""

    IDLE = "idle"
    PREPARING = "preparing"
    PREPARING_ALONE = "preparing_alone"
    PROBATION = "probation"


class Event(str, Enum):
    """See the top of the file."""

    ASKED = "asked"
    PREPARED = "prepared"
    NO_MEMORY = "no_memory"
    PROVEN = "proven"
    FAILED = "failed"


_MOVES = {
    (Phase.IDLE, Event.ASKED): Phase.PREPARING,
    (Phase.PREPARING, Event.PREPARED): Phase.PROBATION,
    (Phase.PREPARING, Event.NO_MEMORY): Phase.PREPARING_ALONE,
    (Phase.PREPARING, Event.FAILED): Phase.IDLE,
    (Phase.PREPARING_ALONE, Event.PREPARED): Phase.PROBATION,
    (Phase.PREPARING_ALONE, Event.FAILED): Phase.IDLE,
    (Phase.PROBATION, Event.PROVEN): Phase.IDLE,
    (Phase.PROBATION, Event.FAILED): Phase.IDLE,
}


def next_phase(phase: Phase, event: Event) -> Phase:
    """What follows.

    Raises:
        InstallError: A release is asked for while another one is under way.
    """
    if event is Event.ASKED and phase is not Phase.IDLE:
        raise InstallError(f"busy: another release is {phase.value}")
    return _MOVES[phase, event]


def judge_probation(
    *, num_batches: int, age_s: float, failure: Exception | None, settings: ReleaseSettings
) -> Event | None:
    """Whether a release that runs on probation has proven itself; None while that is open.

    Args:
        num_batches: That it embedded without an error.
        age_s: Since it runs.
        failure: The error of the batch on which it failed, if it did.
        settings: What it takes.
    """
    if failure is not None:
        return Event.FAILED
    is_proven = num_batches >= settings.probation_batches or age_s >= settings.probation_s
    return Event.PROVEN if is_proven else None


@dataclass(frozen=True)
class RefreshStatus:
    """How it stands.

    Attributes:
        phase: Of the state machine.
        key: The release under way; empty while there is none.
        num_swaps: Embedders put in the place of another, roll-backs included.
        gap_ms: For how long crops waited and no batch came out while a release was installed, the last one or the one
            under way.
    """

    phase: Phase = Phase.IDLE
    key: str = ""
    num_swaps: int = 0
    gap_ms: float = 0.0


class Refresh:
    """Carries out what is asked for in the store. `step` and `run` belong to one thread, `status` to any.

    Args:
        engine: Runs the release.
        store: Held by this agent.
        release: What runs: confirmed, or configured.
        prepare: Opens a release beside what the engine runs, and checks it; `edge.releases.preparation.open_beside`.
        settings: What it takes to be confirmed.
        clock: Monotonic seconds.

    Attributes:
        heartbeat: Of its loop; rests while a release is prepared, which may take minutes.
        faults: What went wrong besides the releases themselves.
    """

    def __init__(
        self,
        engine: Engine,
        store: ReleaseStore,
        release: Release,
        *,
        prepare: Callable[[Release, Engine], Selection],
        settings: ReleaseSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.heartbeat = Heartbeat()
        self.faults = Faults("release")
        self._engine = engine
        self._store = store
        self._release = release
        self._prepare = prepare
        self._settings = settings
        self._clock = clock
        self._phase = Phase.IDLE
        self._state = store.read_state()
        self._is_saved = True
        self._candidate = release
        self._is_alone = False
        self._swapped_s = 0.0

    @property
    def status(self) -> RefreshStatus:
        """How it stands; figures may be one turn apart."""
        install = self._state.install
        key = install.request.key if install else ""
        return RefreshStatus(self._phase, key, self._engine.num_swaps, round(self._engine.gaps.longest_ms, 1))

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A release that is not confirmed by then is given up at the next start."""
        while not stop.is_set():
            self.heartbeat.beat()
            try:
                self.step()
            except OSError as error:  # a full disk now need not be one later
                self.faults.note("disk", error)
            stop.wait(_POLL_S)
        self.heartbeat.rest()

    def step(self) -> None:
        """One turn: judge what is on probation, or else take what is asked for.

        Raises:
            OSError: The disk does not take the request; it stays.
            OspreyError: The old release cannot be opened again, with no memory for two: nothing runs.
        """
        if not self._is_saved:
            self._save(self._state)
        request = self._waiting()
        if self._phase is Phase.PROBATION:
            self._watch(request)
        elif request is not None:
            self._take(request)

    def _waiting(self) -> Request | None:
        request = self._store.read_request()
        if request is None or self._state.outcome(request.request_id) is None:
            return request
        self._store.clear_request()  # it was answered just before a power loss
        return None

    def _take(self, request: Request) -> None:
        try:
            release = self._admit(request)
        except OspreyError as error:
            logger.error("release refused", release=request.key, reason=str(error))
            self._answer(self._state.answer(request, "refused", str(error)))
            return
        if request.key == self._state.confirmed:
            self._answer(self._state.answer(request, "confirmed"))
            return
        self._state = self._store.write_state(self._state.begin(request))
        self._store.clear_request()
        self._move(Event.ASKED)
        self._engine.gaps.start()
        self._try_beside(release)

    def _admit(self, request: Request) -> Release:
        """The release that is asked for, if it may run here."""
        if self._state.confirmed is None:
            self._adopt()
        release = self._store.load(request.key)
        reason = self._state.refusal(request)
        if not reason and request.action == "install" and not request.may_be_older:
            reason = why_older(release.manifest, self._release.manifest)
        if reason:
            raise InstallError(reason)
        return release

    def _adopt(self) -> None:
        """Copy the configured release in, so that a roll-back finds it."""
        adopted = self._store.stage(self._release.folder)
        if adopted.manifest != self._release.manifest:
            raise InstallError(f"{self._release.folder} is not what runs any more: start the agent again")
        self._state = self._store.write_state(self._state.adopt(adopted.folder.name))

    def _answer(self, state: ReleaseState) -> None:
        self._save(state)
        self._store.clear_request()

    def _try_beside(self, release: Release) -> None:
        try:
            chosen = self._open(release)
        except DeviceMemoryError as error:
            self._try_alone(release, error)
        except Exception as error:  # libraries raise what they like over a release that they cannot digest
            self._fail(str(error))
        else:
            self._try_out(release, chosen)

    def _try_alone(self, release: Release, error: DeviceMemoryError) -> None:
        logger.warning("no memory for two engines: frames wait or are dropped until one runs", reason=str(error))
        self._move(Event.NO_MEMORY)
        self._is_alone = True
        self._engine.vacate()
        try:
            chosen = self._open(release)
        except Exception as failure:
            self._fail(str(failure))
        else:
            self._try_out(release, chosen)

    def _try_out(self, release: Release, chosen: Selection) -> None:
        log_selection("release prepared", chosen)
        self._save(self._state.try_out())
        self._move(Event.PREPARED)
        self._candidate, self._swapped_s = release, self._clock()
        self._engine.swap(chosen.embedder)
        logger.info("release swapped in", release=str(release.ref))

    def _watch(self, request: Request | None) -> None:
        if request is not None and request.action == "rollback":
            self._fail(WITHDRAWN)
            self._answer(self._state.answer(request, "confirmed"))
            return
        verdict = judge_probation(
            num_batches=self._engine.num_proven,
            age_s=self._clock() - self._swapped_s,
            failure=self._engine.failure,
            settings=self._settings,
        )
        if verdict is Event.PROVEN:
            self._confirm()
        elif verdict is Event.FAILED:
            self._fail(f"failed on a batch: {self._engine.failure}")

    def _confirm(self) -> None:
        self._engine.gaps.stop()
        self._save(self._state.confirm(round(self._engine.gaps.longest_ms, 1)))
        self._engine.confirm()
        self._release, self._is_alone = self._candidate, False
        self._move(Event.PROVEN)
        self._tidy()

    def _fail(self, reason: str) -> None:
        logger.error("release given up, the old one stays", reason=reason)
        if self._is_alone:
            self._engine.vacate()
            self._engine.swap(self._open(self._release).embedder)
        else:
            self._engine.roll_back()
        self._is_alone = False
        self._engine.gaps.stop()
        self._save(self._state.give_up(reason, round(self._engine.gaps.longest_ms, 1)))
        self._move(Event.FAILED)
        self._tidy()

    def _open(self, release: Release) -> Selection:
        self.heartbeat.rest()  # it may take minutes, and no camera waits for it
        return self._prepare(release, self._engine)

    def _tidy(self) -> None:
        try:
            self._store.prune(self._state)
        except (OSError, OspreyError) as error:
            self.faults.note("disk", error)

    def _move(self, event: Event) -> None:
        self._phase = next_phase(self._phase, event)
        logger.info("release", step=event.value, phase=self._phase.value, key=self.status.key)

    def _save(self, state: ReleaseState) -> None:
        """Keep a state, and write it down; on a full disk later: until then a start takes the release for given up."""
        self._state = state
        try:
            self._store.write_state(state)
        except OSError as error:
            self.faults.note("disk", error)
            self._is_saved = False
        else:
            self._is_saved = True
