"""Carries out what the server directs: one release at a time, each directive once.

    none      take     accepted   install: download, verify, ask the store; roll back: ask the store
    accepted  done     done       it runs and is confirmed, or ran already
    accepted  failed   refused    with the reason; what ran before runs on
    any       take     accepted   of another directive: the newest one counts, a download of an older one ends

What is asked of the store carries the directive's name, so that a start finds how it ended. What the start of an agent
cut off before that is forgotten, and directed again by the server. A server that is out of reach, or a store that is
busy, is waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import structlog

from edge.errors import InstallBusyError, UpdateDelayedError
from edge.heartbeat import Heartbeat
from edge.releases.state import Action, Outcome, ReleaseState
from edge.releases.store import ReleaseStore
from reid.errors import OspreyError, ReleaseError
from reid.retry import Backoff
from reid.types import ReleaseRef

logger = structlog.get_logger(__name__)

_POLL_S = 0.2
_PREFIX = "directive-"
"""Of the requests that directives made, beside those of this machine's operator."""


class AnswerState(str, Enum):
    """See the top of the file."""

    NONE = "none"
    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Directive:
    """What the server wants.

    Attributes:
        directive_id: Its name; the same again is the same directive.
        action: `install` a release that this edge does not have yet, or go back to one.
        release: Which; None to go back to whatever ran before.
    """

    directive_id: str
    action: Action
    release: ReleaseRef | None


@dataclass(frozen=True)
class Answer:
    """How the newest directive stands.

    Attributes:
        directive_id: Its name; empty while there was none.
        state: See the top of the file.
        message: Why it was refused, or what it waits for.
    """

    directive_id: str = ""
    state: AnswerState = AnswerState.NONE
    message: str = ""


class Downloader(Protocol):
    """Where verified releases come from; `edge.releases.updates.Updates`.

    Attributes:
        num_bytes: Received so far.
    """

    num_bytes: int

    def fetch(self, ref: ReleaseRef, *, is_wanted: Callable[[], bool]) -> Path:
        """The folder of a release.

        Raises:
            UpdateDelayedError: Again later.
            OspreyError: Not at all.
        """

    def clear(self) -> None:
        """Its folders are not needed any more."""


class Directives:
    """Carries out directives. `step` and `run` belong to one thread, all else to any.

    Args:
        store: Of this agent.
        updates: Where its releases come from.
        runs: What runs at this moment.
        backoff: Waits between attempts.
        clock: Monotonic seconds.

    Attributes:
        heartbeat: Of its loop; rests during a download, which may take minutes.
    """

    def __init__(
        self,
        store: ReleaseStore,
        updates: Downloader,
        runs: Callable[[], ReleaseRef],
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.heartbeat = Heartbeat()
        self._store = store
        self._updates = updates
        self._runs = runs
        self._backoff = backoff or Backoff(first_s=1.0, most_s=60.0)
        self._clock = clock
        self._next_attempt_s = clock()
        self._changed = threading.Lock()  # around the three below
        self._newest: Directive | None = None
        self._answer = Answer()
        self._current: Directive | None = None
        self._stop = threading.Event()
        self._remember()

    @property
    def answer(self) -> Answer:
        """How the newest directive stands."""
        return self._answer

    @property
    def num_bytes(self) -> int:
        """Downloaded so far."""
        return self._updates.num_bytes

    def take(self, directive: Directive) -> None:
        """A directive came; one that is known already changes nothing."""
        with self._changed:
            if directive.directive_id != self._answer.directive_id:
                self._newest, self._answer = directive, Answer(directive.directive_id, AnswerState.ACCEPTED)
                logger.info("directive", directive=directive.directive_id, action=directive.action)

    def refuse(self, directive_id: str, reason: str) -> None:
        """Something came that is no directive for this edge."""
        with self._changed:
            if directive_id != self._answer.directive_id:
                self._newest = None
                self._answer = Answer(directive_id, AnswerState.REFUSED, reason)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a download that is under way then ends, and goes on after a start."""
        self._stop = stop
        while not stop.is_set():
            self.heartbeat.beat()
            self.step()
            stop.wait(_POLL_S)
        self.heartbeat.rest()

    def step(self) -> None:
        """One turn: take up what is new, go on with what is under way."""
        self._take_up()
        directive = self._current
        if directive is None or self._clock() < self._next_attempt_s:
            return
        try:
            self._carry_out(directive)
        except (UpdateDelayedError, InstallBusyError) as error:
            self._next_attempt_s = self._clock() + self._backoff.next_wait_s()
            self._tell(directive, AnswerState.ACCEPTED, str(error))
        except OspreyError as error:
            self._end(directive, AnswerState.REFUSED, str(error))
        except Exception as error:  # a surprise of a library must not end the thread
            self._end(directive, AnswerState.REFUSED, f"unexpected {type(error).__name__}: {error}")

    def _take_up(self) -> None:
        with self._changed:
            newest, self._newest = self._newest, None
            if newest is None:
                return
            self._current = newest
        self._next_attempt_s = self._clock()
        self._backoff.reset()

    def _carry_out(self, directive: Directive) -> None:
        # In this order: what is taken between the two looks is in the state, and not overlooked.
        waiting, state = self._store.read_request(), self._store.read_state()
        under_way = [request.request_id for request in (waiting, state.install and state.install.request) if request]
        outcome = state.outcome(_request_id(directive))
        if outcome is not None:
            self._settle(directive, outcome)
        elif not under_way and self._runs() == directive.release:
            self._end(directive, AnswerState.DONE)
        elif _request_id(directive) not in under_way:
            self._begin(directive, state)

    def _begin(self, directive: Directive, state: ReleaseState) -> None:
        """Ask the store.

        Raises:
            InstallBusyError: It is busy: again later.
            UpdateDelayedError: The server cannot be reached: again later.
            OspreyError: It cannot be done.
        """
        ref, request_id = directive.release, _request_id(directive)
        if directive.action == "install":
            assert ref is not None
            self._store.ask_to_install(self._fetch(ref), request_id=request_id)
        elif ref is None or self._is(state.confirmed if state.install else state.previous, ref):
            self._store.ask_to_roll_back(request_id=request_id)
        elif state.install is not None:
            raise InstallBusyError(f"busy: {state.install.request.key} is under way")
        else:
            kept = next((key for key in state.superseded if self._is(key, ref)), None)
            folder = self._store.folder / kept if kept else self._fetch(ref)
            self._store.ask_to_install(folder, may_be_older=True, request_id=request_id)

    def _fetch(self, ref: ReleaseRef) -> Path:
        self.heartbeat.rest()
        return self._updates.fetch(ref, is_wanted=lambda: self._newest is None and not self._stop.is_set())

    def _is(self, key: str | None, ref: ReleaseRef) -> bool:
        """Whether a key of the store is that release, and whole."""
        try:
            return key is not None and self._store.load(key).ref == ref
        except ReleaseError:
            return False

    def _settle(self, directive: Directive, outcome: Outcome) -> None:
        # A roll-back may come too late to end an install that failed by itself: what counts is what runs.
        is_back = directive.action == "rollback" and self._runs() == directive.release
        if outcome.verdict == "confirmed" or is_back:
            self._end(directive, AnswerState.DONE)
        else:
            self._end(directive, AnswerState.REFUSED, outcome.reason)

    def _end(self, directive: Directive, state: AnswerState, message: str = "") -> None:
        self._current = None
        self._updates.clear()
        log = logger.info if state is AnswerState.DONE else logger.error
        log("directive", directive=directive.directive_id, state=state.value, reason=message)
        self._tell(directive, state, message)

    def _tell(self, directive: Directive, state: AnswerState, message: str) -> None:
        with self._changed:
            if self._answer.directive_id == directive.directive_id:
                self._answer = Answer(directive.directive_id, state, message)

    def _remember(self) -> None:
        """What a directive asked of the store before this start: it still waits, or has ended."""
        waiting, state = self._store.read_request(), self._store.read_state()
        if waiting is not None and waiting.request_id.startswith(_PREFIX):
            directive_id = waiting.request_id[len(_PREFIX) :]
            try:
                release = self._store.load(waiting.key).ref
            except ReleaseError:
                return  # its outcome will say so, when the server asks again
            self._current = Directive(directive_id, waiting.action, release)
            self._answer = Answer(directive_id, AnswerState.ACCEPTED)
            return
        for outcome in state.outcomes:
            if outcome.request_id.startswith(_PREFIX):
                directive_id = outcome.request_id[len(_PREFIX) :]
                is_done = outcome.verdict == "confirmed"
                self._answer = Answer(
                    directive_id, AnswerState.DONE if is_done else AnswerState.REFUSED, outcome.reason
                )


def _request_id(directive: Directive) -> str:
    return f"{_PREFIX}{directive.directive_id}"
