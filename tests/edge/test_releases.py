from __future__ import annotations

import errno
import shutil
import threading
from contextlib import ExitStack

import pytest
from releases import write_tiny_release

from edge.errors import InstallError
from edge.releases.state import ReleaseState, Request
from edge.releases.store import ReleaseSettings, ReleaseStore
from reid.errors import ReleaseError, ReleaseMismatchError
from reid.release import MODEL_FILE, TRAINABLE_FILE, load_release, write_release


@pytest.fixture
def store(tmp_path):
    store = ReleaseStore(tmp_path / "releases")
    with store.held():
        yield store


def confirm(store, release):
    """Install a release without running it."""
    request, _ = store.ask_to_install(release.folder)
    state = store.read_state().begin(request).confirm()
    store.write_state(state)
    store.clear_request()
    store.prune(state)
    return request.key


def newer(tmp_path, number):
    return write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number))


def test_the_folder_is_beside_the_spool_unless_it_is_named(tmp_path):
    spool = tmp_path / "edge.spool"
    assert ReleaseSettings().folder_beside(spool) == tmp_path / "edge.spool.releases"
    assert ReleaseSettings(folder=tmp_path / "x").folder_beside(spool) == tmp_path / "x"


def test_a_staged_release_is_whole_by_itself_and_lies_under_its_space(tmp_path, store, tiny_release):
    staged = store.stage(tiny_release.folder)
    shutil.rmtree(tiny_release.folder)
    assert load_release(staged.folder).manifest == tiny_release.manifest
    assert staged.folder.name.startswith(f"{tiny_release.manifest.space}-")


def test_weights_to_train_from_stay_behind(store, tiny_release):
    (tiny_release.folder / TRAINABLE_FILE).write_bytes(b"large")
    values = tiny_release.manifest.model_dump(mode="json", exclude={"sha256"})
    write_release(tiny_release.folder, values)
    assert not (store.stage(tiny_release.folder).folder / TRAINABLE_FILE).exists()


def test_staging_twice_copies_once_and_a_damaged_copy_is_replaced(store, tiny_release):
    staged = store.stage(tiny_release.folder)
    written_ns = staged.model_path.stat().st_mtime_ns
    assert store.stage(tiny_release.folder).model_path.stat().st_mtime_ns == written_ns
    staged.model_path.write_bytes(b"x")
    load_release(store.stage(tiny_release.folder).folder)


def test_an_altered_release_is_refused_and_nothing_of_it_stays(store, tiny_release):
    with (tiny_release.folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ReleaseMismatchError, match="altered or damaged"):
        store.ask_to_install(tiny_release.folder)
    assert (store.list_keys(), store.read_request()) == ([], None)


@pytest.mark.parametrize("space", ["../../etc", "...", "a b/c" + 200 * "x", ".hidden"])
def test_a_space_that_is_no_name_of_a_folder_leads_nowhere_else(store, tiny_release, space):
    values = {**tiny_release.manifest.model_dump(mode="json", exclude={"sha256"}), "space": space}
    write_release(tiny_release.folder, values)
    staged = store.stage(tiny_release.folder)
    assert (staged.folder.parent, staged.manifest.space) == (store.folder, space)
    assert store.list_keys() == [staged.folder.name]


def test_a_full_disk_is_one_error_and_leaves_nothing(store, tiny_release, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InstallError, match=r"No space left on device; make room"):
        store.stage(tiny_release.folder)
    assert [path.name for path in store.folder.iterdir()] == ["lock"]


def test_only_one_holds_a_store(store):
    with ReleaseStore(store.folder).held() as is_held:
        assert not is_held


def test_who_waits_gets_the_store_when_it_is_free(tmp_path):
    first, second = (ReleaseStore(tmp_path / "releases") for _ in range(2))
    with first.held(), second.held(wait_s=0.1) as is_held:
        assert not is_held
    with second.held(wait_s=0.1) as is_held:
        assert is_held


def test_two_commands_do_not_ask_at_the_same_time(tmp_path, store, tiny_release):
    store.ask_to_install(tiny_release.folder)
    with pytest.raises(InstallError, match=r"busy: install of tiny-1-0-\w+ is under way"):
        store.ask_to_install(tiny_release.folder)


def test_so_many_releases_are_kept_and_always_those_that_are_needed(tmp_path, store):
    keys = [confirm(store, newer(tmp_path, number)) for number in range(1, 6)]
    assert sorted(store.list_keys()) == keys[2:]
    assert (store.read_state().confirmed, store.read_state().previous) == (keys[4], keys[3])


def test_what_waits_to_be_installed_is_not_tidied_away(tmp_path, store):
    for number in range(1, 4):
        confirm(store, newer(tmp_path, number))
    request, _ = store.ask_to_install(newer(tmp_path, 4).folder)
    store.prune(store.read_state())
    assert request.key in store.list_keys()


def test_a_deletion_that_is_killed_leaves_no_half_release(store, tmp_path, tiny_release, monkeypatch):
    confirm(store, tiny_release)
    request, _ = store.ask_to_install(newer(tmp_path, 2).folder)
    failed, state = request.key, store.write_state(store.read_state().begin(request).try_out().give_up("not finite"))
    store.clear_request()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        store.prune(state)
    assert failed not in store.list_keys()
    assert [path.name for path in store.folder.glob(".*.deleted")] == [f".{failed}.deleted"]
    store.recover()
    assert not list(store.folder.glob(".*.deleted"))


def test_leftovers_of_a_killed_copy_are_removed(store):
    leftover = store.folder / ".tiny.abc"
    leftover.mkdir()
    (leftover / MODEL_FILE).write_bytes(b"half")
    store.recover()
    assert not leftover.exists()


def test_a_state_that_cannot_be_read_is_put_aside(store):
    (store.folder / "state.json").write_text("{")
    assert store.recover() == ReleaseState()
    assert (store.folder / "state.json.damaged").is_file()


def test_a_request_that_cannot_be_read_was_never_asked(store):
    (store.folder / "request.json").write_text('{"action": "explode"}')
    assert store.read_request() is None
    assert not (store.folder / "request.json").exists()


def test_without_an_agent_a_roll_back_is_done_at_once(tmp_path, store):
    keys = [confirm(store, newer(tmp_path, number)) for number in (1, 2)]
    assert store.roll_back_now() == keys[0]
    assert (store.read_state().confirmed, store.read_state().previous) == (keys[0], None)
    with pytest.raises(InstallError, match="no release before"):
        store.roll_back_now()


def test_a_roll_back_to_what_is_not_kept_names_the_other_way(tmp_path, store):
    keys = [confirm(store, newer(tmp_path, number)) for number in (1, 2)]
    shutil.rmtree(store.folder / keys[0])
    for go_back in (store.roll_back_now, store.ask_to_roll_back):
        with pytest.raises(InstallError, match="not kept any more: 'osprey-edge release install DIR --older'"):
            go_back()
    request, _ = store.ask_to_install(tmp_path / "r1", may_be_older=True)
    assert (request.key, request.may_be_older) == (keys[0], True)


def test_without_an_agent_a_roll_back_calls_off_what_waits(tmp_path, store):
    key = confirm(store, newer(tmp_path, 1))
    store.ask_to_install(newer(tmp_path, 2).folder)
    assert (store.roll_back_now(), store.read_request()) == (key, None)


def test_without_an_agent_nothing_goes_back_to_a_damaged_release(tmp_path, store):
    keys = [confirm(store, newer(tmp_path, number)) for number in (1, 2)]
    (store.folder / keys[0] / MODEL_FILE).write_bytes(b"x")
    with pytest.raises(ReleaseError):
        store.roll_back_now()
    assert store.read_state().confirmed == keys[1]


def test_a_request_names_what_it_wants():
    request = Request(request_id="r", action="install", key="k")
    assert Request.model_validate_json(request.model_dump_json()) == request


def test_a_command_waits_while_the_agent_tidies_up(store, tiny_release):
    with ExitStack() as tidying:
        tidying.enter_context(store._locked("staging.lock"))
        threading.Timer(0.2, tidying.close).start()
        assert store.ask_to_install(tiny_release.folder)[0].action == "install"
        tidying.pop_all()
