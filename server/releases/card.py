"""The card of a release: all that is known of it as plain values, and what tells two cards apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from server.gate.verdict import Verdict
from server.releases.registry import RegisteredRelease


class Difference(NamedTuple):
    """A value under a name such as `verdict.checks.golden_fp32.value`; None where a card has none."""

    what: str
    one: Any
    other: Any


def card_of(release: RegisteredRelease) -> dict[str, Any]:
    """All that is known of a release, as plain values that `json` writes."""
    return {
        **release.manifest.model_dump(mode="json"),
        "state": release.state,
        "is_served": release.is_served,
        "registered_us": release.registered_us,
        "num_bytes": release.num_bytes,
        "verdict": release.verdict.to_json() if release.verdict else None,
    }


def differences(one: RegisteredRelease, other: RegisteredRelease) -> list[Difference]:
    """In what two releases differ: manifests, thresholds, metrics, sizes, verdicts."""
    ours, theirs = (dict(_flat(card_of(release))) for release in (one, other))
    return [
        Difference(key, ours.get(key), theirs.get(key))
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]


def gate_word(verdict: Verdict | None) -> str:
    """What the gate said, in a word or two."""
    if verdict is None:
        return "not asked"
    if verdict.forced_by:
        return f"forced by {verdict.forced_by}"
    return "accepted" if verdict.is_accepted else "refused"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under one name each."""
    for key, value in values.items():
        if key == "checks":
            value = {check["name"]: check for check in value}
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
