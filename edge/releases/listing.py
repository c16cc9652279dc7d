"""What releases an edge has, as rows to show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edge.releases.state import ReleaseState
from edge.releases.store import ReleaseStore
from reid.errors import ReleaseError
from reid.release import Release


@dataclass(frozen=True)
class ReleaseRow:
    """One release.

    Attributes:
        key: Its name in the store.
        release: Name and version; empty where its folder is gone or damaged.
        space: Of its embeddings; likewise.
        status: One word, or two.
        reason: Why it is not used; empty otherwise.
    """

    key: str
    release: str
    space: str
    status: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def list_releases(store: ReleaseStore, state: ReleaseState) -> list[ReleaseRow]:
    """All releases in a store, and those that failed; what runs first.

    Args:
        store: Its folders are verified.
        state: As read from it.
    """
    request = store.read_request()
    waiting = request.key if request and request.action == "install" else ""
    found = [_row(store, key, *_standing(state, key, waiting)) for key in store.list_keys()]
    there = set(store.list_keys())  # a running agent may have deleted some meanwhile
    rows = [row for row in found if row.key in there]
    gone = [ReleaseRow(key, "", "", "failed", reason) for key, reason in state.failed.items()]
    keys = {row.key for row in rows}
    return sorted([*rows, *(row for row in gone if row.key not in keys)], key=lambda row: row.key != state.running)


def _standing(state: ReleaseState, key: str, waiting: str) -> tuple[str, str]:
    """Status and reason."""
    if key in state.failed:
        return "failed", state.failed[key]
    install = state.install
    if install is not None and key == install.request.key:
        return ("on probation" if install.phase == "probation" else "preparing"), ""
    confirmed = "runs" if state.running == state.confirmed else "confirmed"
    words = {state.previous: "previous", state.confirmed: confirmed, waiting: "waits"}
    return words.get(key, "kept"), ""


def _row(store: ReleaseStore, key: str, status: str, reason: str) -> ReleaseRow:
    try:
        release: Release = store.load(key)
    except ReleaseError as error:
        return ReleaseRow(key, "", "", "damaged", str(error))
    ref = release.ref
    return ReleaseRow(key, f"{ref.name} {ref.version}", ref.space, status, reason)
