"""The gate's verdict on the wire."""

from __future__ import annotations

import math

from protos import releases_pb2
from server.gate.verdict import Check, Verdict


def verdict_to_proto(verdict: Verdict) -> releases_pb2.GateVerdict:
    """A verdict without its figures; a value that could not be measured is NaN there."""
    checks = [
        releases_pb2.GateCheck(
            name=check.name,
            value=math.nan if check.value is None else check.value,
            bound=check.bound,
            is_passed=check.is_passed,
            reason=check.reason,
        )
        for check in verdict.checks
    ]
    return releases_pb2.GateVerdict(is_accepted=verdict.is_accepted, forced_by=verdict.forced_by, checks=checks)


def verdict_from_proto(message: releases_pb2.GateVerdict) -> Verdict:
    """Undo `verdict_to_proto`."""
    checks = tuple(
        Check(
            name=check.name,
            value=None if math.isnan(check.value) else check.value,
            bound=check.bound,
            is_passed=check.is_passed,
            reason=check.reason,
        )
        for check in message.checks
    )
    return Verdict(is_accepted=message.is_accepted, forced_by=message.forced_by, checks=checks)
