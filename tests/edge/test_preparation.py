from __future__ import annotations

import pytest
from fakes_backend import FakeBackend, FakeClock
from fakes_refresh import FakeEmbedder
from releases import write_tiny_release
from structlog.testing import capture_logs

from edge.engine import Engine
from edge.errors import BackendError, DeviceMemoryError
from edge.releases.preparation import open_beside
from reid.embedder import OnnxEmbedder
from reid.errors import ReleaseMismatchError


class RefittableEmbedder(FakeEmbedder):
    """Makes another one of itself, in the way that `refit` says."""

    def __init__(self, release, refit):
        super().__init__(release)
        self.refit = refit

    def refitted(self, release):
        return self.refit(release)


def right(release):
    return OnnxEmbedder(release, num_threads=1)


@pytest.fixture
def newer(tmp_path):
    return write_tiny_release(tmp_path / "newer", seed=1, version="2")


@pytest.fixture
def backend():
    return FakeBackend("fake", FakeClock(), {"fp32": 0.01})


def prepare(newer, running, backend):
    return open_beside(newer, Engine(running), num_threads=1, backends={"fake": backend.row()})


def test_the_back_end_and_the_precision_stay_what_they_are(tiny_release, newer):
    backend = FakeBackend("fake", FakeClock(), {"bf16": 0.001, "fp32": 0.01})
    chosen = prepare(newer, FakeEmbedder(tiny_release.ref), backend)
    assert (chosen.embedder.release, chosen.embedder.precision, backend.opened) == (newer.ref, "fp32", ["fp32"])


def test_a_release_that_is_wrong_in_this_precision_runs_in_another(tiny_release, newer):
    backend = FakeBackend("fake", FakeClock(), {"bf16": 0.01, "fp32": 0.01})
    backend.wrong = {"fp32"}
    assert prepare(newer, FakeEmbedder(tiny_release.ref), backend).embedder.precision == "bf16"


def test_a_release_that_is_wrong_in_every_precision_is_refused(tiny_release, newer, backend):
    backend.wrong = {"fp32"}
    with pytest.raises(ReleaseMismatchError, match="golden crops come out"):
        prepare(newer, FakeEmbedder(tiny_release.ref), backend)
    assert backend.opened == ["fp32"]


def test_an_engine_that_can_be_refitted_is_not_built(tiny_release, newer, backend):
    chosen = prepare(newer, RefittableEmbedder(tiny_release.ref, right), backend)
    assert (chosen.why, chosen.embedder.release, backend.opened) == ("refitted", newer.ref, [])


@pytest.mark.parametrize("fault", ["refused", "wrong"])
def test_an_engine_is_built_when_the_refit_is_refused_or_computes_something_else(tiny_release, newer, backend, fault):
    def refit(release):
        if fault == "refused":
            raise BackendError("built without REFIT")
        return right(tiny_release)

    with capture_logs() as logs:
        chosen = prepare(newer, RefittableEmbedder(tiny_release.ref, refit), backend)
    assert (chosen.embedder.release, backend.opened) == (newer.ref, ["fp32"])
    assert logs[0]["event"] == "refit failed, building instead"


def test_a_refit_without_memory_for_two_is_not_followed_by_a_build(tiny_release, newer, backend):
    def refit(release):
        raise DeviceMemoryError("out of memory")

    with pytest.raises(DeviceMemoryError):
        prepare(newer, RefittableEmbedder(tiny_release.ref, refit), backend)
    assert backend.opened == []


def test_a_back_end_without_memory_for_two_says_so(tiny_release, newer, backend, monkeypatch):
    def full(*_):
        raise DeviceMemoryError("out of memory")

    monkeypatch.setattr(backend, "_open", full)
    with pytest.raises(DeviceMemoryError):
        prepare(newer, FakeEmbedder(tiny_release.ref), backend)
