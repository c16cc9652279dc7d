from __future__ import annotations

import pytest
from fakes_backend import FakeBackend, FakeClock
from structlog.testing import capture_logs

from edge.backends.choice import choice_path
from edge.backends.selection import select_embedder
from edge.errors import BackendError
from reid.errors import ReleaseError, ReleaseMismatchError


class Site:
    """A machine with two back ends: `plain` takes 20 ms, `quick` takes 10 ms in bf16 and 30 ms in fp32."""

    def __init__(self, release) -> None:
        self.release, self.clock = release, FakeClock()
        self.plain = FakeBackend("plain", self.clock, {"fp32": 0.02})
        self.quick = FakeBackend("quick", self.clock, {"bf16": 0.01, "fp32": 0.03})

    def select(self, asked="auto", num_threads=1):
        rows = {backend.name: backend.row() for backend in (self.plain, self.quick)}
        return select_embedder(self.release, asked=asked, num_threads=num_threads, clock=self.clock, backends=rows)

    def chosen(self, asked="auto", num_threads=1):
        embedder = self.select(asked, num_threads).embedder
        return f"{embedder.backend} {embedder.precision}"

    def forget_opened(self):
        self.plain.opened.clear()
        self.quick.opened.clear()


@pytest.fixture
def site(tiny_release):
    return Site(tiny_release)


def test_auto_takes_the_fastest_and_says_why(site):
    selection = site.select()
    assert (selection.embedder.backend, selection.embedder.precision) == ("quick", "bf16")
    assert selection.why == "median of 4 crops: quick bf16 10.00 ms, plain fp32 20.00 ms, quick fp32 30.00 ms"
    assert selection.golden_cosine > 0.9999


def test_one_that_computes_something_else_is_named_and_the_next_taken(site):
    site.quick.wrong = ["bf16"]
    with capture_logs() as logs:
        assert site.chosen() == "plain fp32"
    assert (logs[0]["backend"], logs[0]["log_level"]) == ("quick bf16", "warning")
    assert "does not compute what was released" in logs[0]["reason"]


def test_one_that_is_not_installed_is_named_and_nothing_is_measured(site):
    site.quick.is_installed = False
    with capture_logs() as logs:
        assert site.select().why == "the only one that can be used"
    assert (logs[0]["backend"], logs[0]["reason"]) == ("quick", "quick is not installed")
    assert not choice_path(site.release).exists()


def test_the_choice_is_remembered(site):
    site.chosen()
    site.forget_opened()
    assert site.select().why.startswith("remembered: median of 4 crops: quick bf16")
    assert (site.plain.opened, site.quick.opened) == ([], ["bf16"])


@pytest.mark.parametrize("change", ["version", "threads"])
def test_the_choice_is_dropped_when_what_it_held_for_changes(site, change):
    site.chosen()
    site.forget_opened()
    site.quick.version = "2" if change == "version" else "1"
    site.select(num_threads=2 if change == "threads" else 1)
    assert site.plain.opened == ["fp32"]


def test_a_remembered_one_is_checked_again(site):
    site.chosen()
    site.quick.wrong = ["bf16"]
    with capture_logs() as logs:
        assert site.chosen() == "plain fp32"
    assert logs[0]["event"] == "remembered back end failed, measuring again"
    assert site.chosen() == "plain fp32"


def test_the_configured_one_is_taken_however_slow(site):
    assert site.chosen("plain") == "plain fp32"
    assert site.select("plain").why == "as configured"


def test_the_configured_one_falls_back_to_its_other_precision(site):
    site.quick.wrong = ["bf16"]
    assert site.chosen("quick") == "quick fp32"


def test_the_configured_one_not_installed_is_one_error(site):
    site.quick.is_installed = False
    with pytest.raises(BackendError, match="quick is not installed"):
        site.select("quick")


def test_the_configured_one_that_is_wrong_is_one_error(site):
    site.plain.wrong = ["fp32"]
    with pytest.raises(ReleaseMismatchError, match="does not compute what was released"):
        site.select("plain")


def test_when_none_is_right_all_are_named_with_their_reasons(site):
    site.plain.wrong, site.quick.is_installed = ["fp32"], False
    with pytest.raises(ReleaseError, match=r"plain fp32: .* cosine .*; quick: quick is not installed"):
        site.select()
