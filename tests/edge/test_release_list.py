from __future__ import annotations

import pytest
from releases import write_tiny_release

from edge.releases.listing import list_releases
from edge.releases.store import ReleaseStore
from reid.release import MODEL_FILE


@pytest.fixture
def store(tmp_path):
    """Four releases: the first was superseded by the second, the third is on probation, the fourth is only there."""
    store = ReleaseStore(tmp_path / "releases")
    for number in (1, 2, 3):
        release = write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number))
        request, _ = store.ask_to_install(release.folder)
        state = store.read_state().begin(request)
        store.write_state(state.try_out() if number == 3 else state.confirm())
        store.clear_request()
    store.stage(write_tiny_release(tmp_path / "r4", seed=4, version="4").folder)
    return store


def standing(store):
    return {row.release: row.status for row in list_releases(store, store.read_state())}


def test_each_release_has_its_standing_and_what_runs_comes_first(store):
    found = standing(store)
    assert found == {"tiny 3": "on probation", "tiny 2": "confirmed", "tiny 1": "previous", "tiny 4": "kept"}
    assert next(iter(found)) == "tiny 3"


def test_what_was_confirmed_runs_when_nothing_is_on_probation(store):
    store.write_state(store.read_state().give_up("not finite"))
    rows = {row.release: row for row in list_releases(store, store.read_state())}
    assert rows["tiny 2"].status == "runs"
    assert (rows["tiny 3"].status, rows["tiny 3"].reason) == ("failed", "not finite")


def test_what_failed_is_listed_with_its_reason_when_its_folder_is_gone(store):
    state = store.write_state(store.read_state().give_up("not finite"))
    store.prune(state)
    (row,) = [row for row in list_releases(store, state) if row.status == "failed"]
    assert (row.release, row.reason, row.to_json()["key"]) == ("", "not finite", row.key)


def test_what_the_agent_deletes_while_it_is_listed_is_gone_and_not_damaged(store, monkeypatch):
    failed, state = store.read_state().running, store.write_state(store.read_state().give_up("not finite"))
    load = ReleaseStore.load

    def load_late(self, key):
        if key == failed:
            self.prune(state)
        return load(self, key)

    monkeypatch.setattr(ReleaseStore, "load", load_late)
    (row,) = [row for row in list_releases(store, state) if row.key == failed]
    assert (row.status, row.reason) == ("failed", "not finite")


def test_a_damaged_release_is_named(store):
    (store.folder / store.read_state().confirmed / MODEL_FILE).write_bytes(b"x")
    (row,) = [row for row in list_releases(store, store.read_state()) if row.status == "damaged"]
    assert "altered or damaged" in row.reason


def test_what_waits_for_the_agent_is_seen(store, tmp_path):
    store.write_state(store.read_state().give_up("not finite"))
    store.ask_to_install(tmp_path / "r4")
    assert standing(store)["tiny 4"] == "waits"
