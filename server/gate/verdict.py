"""Verdicts: what was checked of a candidate release, how each check came out, and what follows.

A candidate is accepted when every check passed. A refused one can be forced by an operator: the verdict then says who
did, and keeps its failed checks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reid.errors import ReleaseError


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: One word, the same in every verdict, for example `golden_fp16`.
        value: What was measured; None where it could not be.
        bound: What it was compared with; `reason` says on which side of it the value has to lie.
        is_passed: Whether it lies there.
        reason: One sentence with both numbers, fit to show to an operator.
    """

    name: str
    value: float | None
    bound: float
    is_passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate says of one candidate.

    Attributes:
        is_accepted: It may be rolled out.
        checks: Everything that was looked at, in order.
        figures: More that was measured and decided nothing, by name.
        forced_by: The operator who let it pass against its checks; empty if nobody did.
    """

    is_accepted: bool
    checks: tuple[Check, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    forced_by: str = ""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.is_passed)

    @property
    def summary(self) -> str:
        """The verdict in one line, with the reasons for a refusal."""
        if not self.failed:
            return f"accepted: all {len(self.checks)} checks passed"
        head = f"forced by {self.forced_by} against" if self.forced_by else "refused:"
        return f"{head} {'; '.join(check.reason for check in self.failed)}"

    def forced(self, operator: str) -> Verdict:
        """The same verdict, let pass by an operator."""
        return replace(self, is_accepted=True, forced_by=operator)

    def to_json(self) -> dict[str, Any]:
        """As plain values that `json` writes."""
        return asdict(self) | {"checks": [asdict(check) for check in self.checks], "figures": dict(self.figures)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """What `to_json` made.

        Raises:
            ReleaseError: A key is missing or unknown, or of another type.
        """
        try:
            checks = tuple(Check(**check) for check in values["checks"])
            return cls(**{**values, "checks": checks})
        except (KeyError, TypeError) as error:
            raise ReleaseError(f"no verdict of a gate, wrong at {error}: {json.dumps(values)[:200]}") from None


def at_least(name: str, value: float, bound: float, what: str) -> Check:
    """A check that a value reaches a bound; one that is not finite does not."""
    return _check(name, value, bound, what, is_passed=value >= bound, side="least")


def at_most(name: str, value: float, bound: float, what: str) -> Check:
    """A check that a value does not pass a bound; one that is not finite does."""
    return _check(name, value, bound, what, is_passed=value <= bound, side="most")


def unmet(name: str, bound: float, reason: str) -> Check:
    """A check that failed before there was a value."""
    return Check(name=name, value=None, bound=bound, is_passed=False, reason=reason)


def verdict_of(checks: tuple[Check, ...], figures: Mapping[str, float]) -> Verdict:
    """The verdict that follows from the checks: all have to pass."""
    return Verdict(is_accepted=all(check.is_passed for check in checks), checks=checks, figures=figures)


def _check(name: str, value: float, bound: float, what: str, *, is_passed: bool, side: str) -> Check:
    if not (math.isfinite(value) and math.isfinite(bound)):
        return unmet(name, bound if math.isfinite(bound) else 0.0, f"{what}: {value}, which is no number to compare")
    reason = f"{what} {value:.4g}, wanted at {side} {bound:.4g}"
    return Check(name=name, value=float(value), bound=float(bound), is_passed=bool(is_passed), reason=reason)
