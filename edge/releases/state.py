"""What an edge knows of its releases, as one value. Pure: each move gives a new one.

    confirmed    starts at every start; None until something was installed: then the configured release does
    superseded   confirmed before, oldest first; the last one is what a roll-back goes to
    install      under way; until it is confirmed, a start knows it only as failed
    failed       why releases were given up, or taken back by the operator
    outcomes     how the last requests ended, for whoever made them

Moves: adopt, begin, try_out, confirm, give_up, answer, fall_back. Whatever is interrupted ends in `give_up`, so a
release that takes the machine down is never started twice.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from reid.release import Manifest
from reid.settings import Settings

_MAX_SUPERSEDED = 64
_MAX_FAILED = 16
_MAX_OUTCOMES = 8
_WAYS_BACK = "'osprey-edge release rollback' goes back one, 'install --older' to any"
WITHDRAWN = "rolled back by the operator"

Action = Literal["install", "rollback"]
Verdict = Literal["confirmed", "failed", "refused"]


class Request(Settings):
    """What somebody wants of the agent.

    A key names a release in the store: its space and the beginning of its manifest's hash.
    """

    request_id: str
    action: Action
    key: str
    may_be_older: bool = False
    """The operator wants it although it is older than what runs."""


class Install(Settings):
    """A request that is being carried out."""

    request: Request
    phase: Literal["preparing", "probation"] = "preparing"


class Outcome(Settings):
    """How a request ended."""

    request_id: str
    key: str
    verdict: Verdict
    reason: str = ""
    """Why, unless it was confirmed."""
    gap_ms: float = 0.0
    """For how long crops waited and no batch came out while it was carried out, at most."""


class ReleaseState(Settings):
    """See the top of the file."""

    format: Literal[1] = 1
    confirmed: str | None = None
    superseded: tuple[str, ...] = ()
    install: Install | None = None
    failed: dict[str, str] = Field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()

    @property
    def running(self) -> str | None:
        """What runs at this moment, confirmed or not."""
        return self.install.request.key if self.install and self.install.phase == "probation" else self.confirmed

    @property
    def previous(self) -> str | None:
        """What a roll-back goes to."""
        return self.superseded[-1] if self.superseded else None

    @property
    def needed(self) -> frozenset[str]:
        """Releases that must not be deleted."""
        candidate = self.install.request.key if self.install else None
        return frozenset(key for key in (self.confirmed, self.previous, candidate) if key)

    def outcome(self, request_id: str) -> Outcome | None:
        """How a request ended; None if it did not, or long ago."""
        return next((outcome for outcome in self.outcomes if outcome.request_id == request_id), None)

    def refusal(self, request: Request) -> str:
        """Why this request cannot be carried out; empty if it can."""
        if request.action == "install" and request.key in self.superseded and not request.may_be_older:
            return f"{request.key} is older than what runs; {_WAYS_BACK}"
        if request.action == "rollback" and request.key != self.previous:
            return "there is no release before the one that runs"
        return ""

    def adopt(self, key: str) -> ReleaseState:
        """The configured release runs, and lies in the store now."""
        return self.model_copy(update={"confirmed": key})

    def begin(self, request: Request) -> ReleaseState:
        """A request is taken."""
        failed = {key: reason for key, reason in self.failed.items() if key != request.key}
        return self.model_copy(update={"install": Install(request=request), "failed": failed})

    def try_out(self) -> ReleaseState:
        """The candidate is about to run."""
        assert self.install is not None
        return self.model_copy(update={"install": self.install.model_copy(update={"phase": "probation"})})

    def confirm(self, gap_ms: float = 0.0) -> ReleaseState:
        """The candidate has proven itself: it is what starts from now on."""
        assert self.install is not None
        request = self.install.request
        outcomes = self._outcomes_with(request, "confirmed", gap_ms=gap_ms)
        update = {"confirmed": request.key, "install": None, "outcomes": outcomes}
        if request.key in self.superseded:
            older = self.superseded[: self.superseded.index(request.key)]
            withdrawn = self._failed_with(self.confirmed, WITHDRAWN)
            return self.model_copy(update={**update, "superseded": older, "failed": withdrawn})
        former = () if self.confirmed in (None, request.key) else (self.confirmed,)
        return self.model_copy(update={**update, "superseded": (*self.superseded, *former)[-_MAX_SUPERSEDED:]})

    def give_up(self, reason: str, gap_ms: float = 0.0) -> ReleaseState:
        """The candidate is not taken; what was confirmed stays."""
        assert self.install is not None
        request = self.install.request
        failed = self.failed if request.action == "rollback" else self._failed_with(request.key, reason)
        outcomes = self._outcomes_with(request, "failed", reason=reason, gap_ms=gap_ms)
        return self.model_copy(update={"install": None, "failed": failed, "outcomes": outcomes})

    def answer(self, request: Request, verdict: Verdict, reason: str = "") -> ReleaseState:
        """A request that needs no work, or gets none."""
        return self.model_copy(update={"outcomes": self._outcomes_with(request, verdict, reason=reason)})

    def recover(self) -> ReleaseState:
        """What holds after a start: an install that was under way is given up."""
        if self.install is None:
            return self
        phase = "on probation" if self.install.phase == "probation" else "being prepared"
        return self.give_up(f"the agent ended while it was {phase}: install it again")

    def fall_back(self, reason: str) -> ReleaseState:
        """The confirmed release cannot be started any more: the one before it takes its place."""
        failed = self._failed_with(self.confirmed, reason)
        update = {"confirmed": self.previous, "superseded": self.superseded[:-1], "failed": failed}
        return self.model_copy(update=update)

    def _outcomes_with(
        self, request: Request, verdict: Verdict, *, reason: str = "", gap_ms: float = 0.0
    ) -> tuple[Outcome, ...]:
        ids = {"request_id": request.request_id, "key": request.key}
        outcome = Outcome(**ids, verdict=verdict, reason=reason, gap_ms=gap_ms)
        return (*self.outcomes, outcome)[-_MAX_OUTCOMES:]

    def _failed_with(self, key: str | None, reason: str) -> dict[str, str]:
        if key is None:
            return self.failed
        others = [(old, why) for old, why in self.failed.items() if old != key]
        return dict([*others, (key, reason)][-_MAX_FAILED:])


def why_older(candidate: Manifest, running: Manifest) -> str:
    """Why a release is older than the one that runs; empty if it is not, as far as their manifests tell."""
    one, other = (f"{release.name} {release.version}" for release in (candidate, running))
    if candidate.space == running.parent:
        return f"{one} is older than what runs: {other} was made from it; {_WAYS_BACK}"
    versions = _numbers(candidate.version), _numbers(running.version)
    if candidate.name == running.name and all(versions) and versions[0] < versions[1]:
        return f"{one} is older than what runs, {other}; {_WAYS_BACK}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Of a version such as 1.2.10; none of any other."""
    return tuple(map(int, version.split("."))) if re.fullmatch(r"\d+(\.\d+)*", version) else ()
