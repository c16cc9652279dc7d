"""Promise: whatever is killed in the middle of an install, what starts next is a release that was confirmed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from releases import write_tiny_release

from edge.engine import Engine
from edge.releases.first import open_first
from edge.releases.preparation import open_beside
from edge.releases.refresh import Phase, Refresh
from edge.releases.store import ReleaseSettings, ReleaseStore

# A step, and what becomes of the new release: nothing yet, it waits, it is given up, or it runs.
FATES = {
    "before-copy": "nothing",
    "after-copy": "nothing",
    "after-stage": "nothing",
    "before-ask": "nothing",
    "after-ask": "waits",
    "before-write": "waits",  # of the old one, which is adopted
    "after-write": "waits",
    "before-write-2": "waits",  # of what is begun
    "after-write-2": "given up",
    "before-clear": "given up",
    "after-clear": "given up",
    "before-open": "given up",
    "after-open": "given up",
    "before-write-3": "given up",  # of the probation
    "after-write-3": "given up",
    "before-swap": "given up",
    "after-swap": "given up",
    "before-write-4": "given up",  # of the confirmation
    "after-write-4": "runs",
    "before-confirm": "runs",
    "after-confirm": "runs",
    "before-prune": "runs",
    "after-prune": "runs",
}
FEW = ["before-open", "before-swap", "after-swap", "after-write-4"]


def kill(folder: Path, backend: str, steps: list[str]) -> Path:
    for number, name in ((1, "old"), (2, "new")):
        write_tiny_release(folder / name, seed=number, version=str(number))
    words = [sys.executable, Path(__file__).with_name("killed_installs.py"), folder, backend, *steps]
    ended = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return kill(tmp_path_factory.mktemp("killed"), "onnxruntime", list(FATES))


@pytest.fixture(scope="module")
def killed_openvino(tmp_path_factory):
    pytest.importorskip("openvino", reason="openvino is not installed")
    return kill(tmp_path_factory.mktemp("killed"), "openvino", FEW)


def check_start(folder: Path, step: str, backend: str) -> None:
    """Start as an agent does, and see through what waits."""
    fate, store = FATES[step], ReleaseStore(folder / step)
    with store.held() as is_held:
        assert is_held
        engine, release = open_first(store, folder / "old", num_threads=1, backend=backend)
        assert release.ref.version == ("2" if fate == "runs" else "1")
        assert engine.embed(release.golden.crops).release == release.ref
        state = store.read_state()
        assert [key[:8] for key in state.failed] == (["tiny-2-2"] if fate == "given up" else [])
        assert not list(store.folder.glob(".*"))
        check_what_waits(store, engine, release, takes_it=fate == "waits")


def check_what_waits(store: ReleaseStore, engine: Engine, release, *, takes_it: bool) -> None:
    settings = ReleaseSettings(probation_batches=1)
    refresh = Refresh(engine, store, release, prepare=lambda r, e: open_beside(r, e, num_threads=1), settings=settings)
    refresh.step()
    assert refresh.status.phase is (Phase.PROBATION if takes_it else Phase.IDLE)
    assert store.read_request() is None


@pytest.mark.parametrize("step", FATES)
def test_after_a_kill_the_right_release_starts(killed, step):
    check_start(killed, step, "onnxruntime")


@pytest.mark.parametrize("step", FEW)
def test_after_a_kill_the_right_release_starts_on_openvino(killed_openvino, step):
    check_start(killed_openvino, step, "openvino")


def test_what_was_given_up_can_be_installed_again(killed):
    store = ReleaseStore(killed / "after-swap")
    with store.held():
        engine, release = open_first(store, killed / "old", num_threads=1, backend="onnxruntime")
        request, _ = store.ask_to_install(killed / "new")
        check_what_waits(store, engine, release, takes_it=True)
        assert store.read_state().install.request == request
