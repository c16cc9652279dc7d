from __future__ import annotations

import pytest
from releases import write_tiny_release

from edge.releases.first import open_first
from edge.releases.state import ReleaseState, Request
from edge.releases.store import ReleaseStore
from reid.errors import ReleaseError
from reid.release import MODEL_FILE


@pytest.fixture
def store(tmp_path):
    store = ReleaseStore(tmp_path / "releases")
    with store.held():
        yield store


def confirm(store, *releases):
    state = ReleaseState()
    for release in releases:
        key = store.stage(release.folder).folder.name
        state = state.begin(Request(request_id=key, action="install", key=key)).confirm()
    return store.write_state(state)


def start(store, configured):
    engine, release = open_first(store, configured, num_threads=1, backend="onnxruntime")
    assert engine.release == release.ref
    return release.ref.version


def newer(tmp_path, number):
    return write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number))


def damage(store, key):
    with (store.folder / key / MODEL_FILE).open("ab") as file:
        file.write(b"x")


def test_the_configured_release_starts_until_something_was_installed(store, tiny_release):
    assert start(store, tiny_release.folder) == "1"
    assert store.read_state() == ReleaseState()


def test_an_installed_release_starts_although_another_one_is_configured(tmp_path, store, tiny_release):
    confirm(store, newer(tmp_path, 2))
    assert start(store, tiny_release.folder) == "2"


def test_a_damaged_release_gives_way_to_the_one_before(tmp_path, store, tiny_release):
    state = confirm(store, newer(tmp_path, 2), newer(tmp_path, 3))
    damage(store, state.confirmed)
    assert start(store, tiny_release.folder) == "2"
    assert "altered or damaged" in store.read_state().failed[state.confirmed]


def test_when_all_are_damaged_the_configured_release_starts(tmp_path, store, tiny_release):
    state = confirm(store, newer(tmp_path, 2), newer(tmp_path, 3))
    damage(store, state.confirmed)
    damage(store, state.previous)
    assert start(store, tiny_release.folder) == "1"
    assert (store.read_state().confirmed, len(store.read_state().failed)) == (None, 2)


def test_when_nothing_starts_nothing_is_forgotten(tmp_path, store):
    state = confirm(store, newer(tmp_path, 2))
    damage(store, state.confirmed)
    with pytest.raises(ReleaseError):
        start(store, tmp_path / "none")
    assert store.read_state() == state
