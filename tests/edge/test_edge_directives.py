from __future__ import annotations

import threading
import time

import pytest
from fakes_refresh import CROPS, Bench
from releases import write_tiny_release

from edge.errors import UpdateDelayedError, UpdateError
from edge.releases.directives import Answer, AnswerState, Directive, Directives
from reid.errors import ReleaseMismatchError
from reid.retry import Backoff
from reid.types import ReleaseRef


class FakeUpdates:
    """Knows the folders of some releases; raises what is set; waits while it is told to."""

    def __init__(self, *releases) -> None:
        self.folders = {release.ref: release.folder for release in releases}
        self.num_bytes = 0
        self.error: Exception | None = None
        self.is_waiting = False
        self.fetched: list[ReleaseRef] = []

    def fetch(self, ref, *, is_wanted):
        self.fetched.append(ref)
        while self.is_waiting:
            if not is_wanted():
                raise UpdateDelayedError("called off")
            time.sleep(0.01)
        if self.error is not None:
            raise self.error
        if ref not in self.folders:
            raise UpdateError(f"{ref} is not among what this site has signed")
        return self.folders[ref]

    def clear(self) -> None:
        pass


@pytest.fixture
def releases(tmp_path):
    return [write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number)) for number in (1, 2, 3)]


@pytest.fixture
def bench(tmp_path, releases):
    bench = Bench(tmp_path, releases[0])
    yield bench
    bench.hold.__exit__(None, None, None)


@pytest.fixture
def updates(releases):
    return FakeUpdates(*releases)


@pytest.fixture
def start(bench, updates):
    """Makes the directives of an agent; again for a start after the end of that one."""

    def make():
        backoff = Backoff(first_s=10.0, most_s=10.0)
        return Directives(bench.store, updates, lambda: bench.engine.release, backoff=backoff, clock=bench.clock)

    return make


@pytest.fixture
def directives(start):
    return start()


def install(release, name="d1"):
    return Directive(name, "install", release.ref)


def roll_back(release=None, name="d2"):
    return Directive(name, "rollback", release.ref if release else None)


def see_through(bench, directives, directive):
    """Take a directive and let everybody work until it is answered."""
    directives.take(directive)
    for _ in range(8):
        directives.step()
        bench.refresh.step()
        bench.engine.embed(CROPS)
    return directives.answer


def test_before_any_directive_there_is_nothing_to_answer(directives):
    directives.step()
    assert directives.answer == Answer()


def test_a_release_is_downloaded_installed_confirmed_and_only_then_done(bench, directives, releases):
    directives.take(install(releases[1]))
    assert directives.answer == Answer("d1", AnswerState.ACCEPTED)
    directives.step()
    bench.refresh.step()
    directives.step()
    assert (directives.answer.state, bench.runs) == (AnswerState.ACCEPTED, "tiny-2-2")
    for _ in range(3):
        bench.engine.embed(CROPS)
    bench.refresh.step()
    directives.step()
    assert directives.answer == Answer("d1", AnswerState.DONE)


def test_what_runs_already_is_done_at_once(bench, directives, updates, releases):
    directives.take(install(releases[0]))
    directives.step()
    assert directives.answer == Answer("d1", AnswerState.DONE)
    assert (updates.fetched, bench.engine.num_swaps) == ([], 0)


def test_the_same_directive_again_does_nothing(bench, directives, updates, releases):
    see_through(bench, directives, install(releases[1]))
    see_through(bench, directives, install(releases[1]))
    assert directives.answer == Answer("d1", AnswerState.DONE)
    assert (len(updates.fetched), bench.engine.num_swaps) == (1, 1)


def test_an_earlier_directive_is_answered_from_what_the_store_remembers(bench, directives, updates, releases):
    see_through(bench, directives, install(releases[1], "d1"))
    see_through(bench, directives, install(releases[2], "d2"))
    assert see_through(bench, directives, install(releases[1], "d1")) == Answer("d1", AnswerState.DONE)
    assert bench.runs == "tiny-3-3"


def test_after_a_start_the_outcome_is_still_told(bench, directives, start, releases):
    see_through(bench, directives, install(releases[1]))
    assert start().answer == Answer("d1", AnswerState.DONE)


def test_an_install_that_the_end_of_the_agent_cut_off_is_told_as_refused(bench, directives, start, releases):
    directives.take(install(releases[1]))
    directives.step()
    bench.refresh.step()
    bench.store.recover()
    answer = start().answer
    assert (answer.directive_id, answer.state) == ("d1", AnswerState.REFUSED)
    assert answer.message == "the agent ended while it was on probation: install it again"


def test_a_request_that_waited_over_a_start_is_followed(bench, directives, start, releases):
    directives.take(install(releases[1]))
    directives.step()
    again = start()
    assert again.answer == Answer("d1", AnswerState.ACCEPTED)
    assert see_through(bench, again, install(releases[1])) == Answer("d1", AnswerState.DONE)


def test_a_request_of_this_machines_operator_is_no_directive(bench, start, releases):
    bench.install(releases[1])
    assert start().answer == Answer()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpdateError("not signed by the keys of this site"), "not signed by the keys of this site"),
        (ReleaseMismatchError("model.onnx was altered"), "model.onnx was altered"),
        (RuntimeError("of a library"), "unexpected RuntimeError: of a library"),
    ],
    ids=["unsigned", "altered", "surprise"],
)
def test_what_cannot_be_downloaded_is_refused_with_the_reason(directives, updates, releases, error, message):
    updates.error = error
    directives.take(install(releases[1]))
    directives.step()
    assert directives.answer == Answer("d1", AnswerState.REFUSED, message)


def test_a_server_out_of_reach_is_waited_for(bench, directives, updates, releases):
    updates.error = UpdateDelayedError("UNAVAILABLE: restarting")
    directives.take(install(releases[1]))
    directives.step()
    assert directives.answer == Answer("d1", AnswerState.ACCEPTED, "UNAVAILABLE: restarting")
    directives.step()
    assert len(updates.fetched) == 1
    updates.error = None
    bench.clock.now_s += 11
    assert see_through(bench, directives, install(releases[1])) == Answer("d1", AnswerState.DONE)


def test_an_older_release_is_refused(bench, directives, releases):
    see_through(bench, directives, install(releases[1]))
    answer = see_through(bench, directives, install(releases[0], "d2"))
    assert (answer.state, bench.runs) == (AnswerState.REFUSED, "tiny-2-2")
    assert "is older than what runs" in answer.message


def test_a_release_that_fails_its_golden_check_is_refused_and_the_old_one_runs(bench, directives, releases):
    def fail(release, engine):
        raise ReleaseMismatchError("golden crops come out at 0.3")

    bench.prepare = fail
    answer = see_through(bench, directives, install(releases[1]))
    assert answer == Answer("d1", AnswerState.REFUSED, "golden crops come out at 0.3")
    assert bench.runs == "tiny-1-1"


def test_a_store_that_is_busy_is_waited_for(bench, directives, releases):
    bench.ask(releases[1])
    directives.take(install(releases[2]))
    directives.step()
    assert directives.answer.state is AnswerState.ACCEPTED
    assert directives.answer.message.startswith("busy: install of tiny-2")
    for _ in range(3):
        bench.engine.embed(CROPS)
    bench.refresh.step()
    bench.clock.now_s += 11
    assert see_through(bench, directives, install(releases[2])) == Answer("d1", AnswerState.DONE)


def test_a_newer_directive_ends_the_download_of_an_older_one(bench, directives, updates, releases):
    updates.is_waiting = True
    directives.take(install(releases[1], "d1"))
    thread = threading.Thread(target=directives.step)
    thread.start()
    directives.take(install(releases[2], "d2"))
    thread.join(5)
    updates.is_waiting = False
    assert see_through(bench, directives, install(releases[2], "d2")) == Answer("d2", AnswerState.DONE)
    assert bench.runs == "tiny-3-3"


def test_a_stop_ends_a_download(directives, updates, releases):
    updates.is_waiting = True
    stop = threading.Event()
    directives.take(install(releases[1]))
    thread = threading.Thread(target=directives.run, args=(stop,))
    thread.start()
    while not updates.fetched:
        time.sleep(0.01)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert directives.heartbeat.silent_s == 0


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "unnamed"])
def test_a_roll_back_goes_to_what_ran_before(bench, directives, updates, releases, is_named):
    see_through(bench, directives, install(releases[1]))
    answer = see_through(bench, directives, roll_back(releases[0] if is_named else None))
    assert (answer, bench.runs) == (Answer("d2", AnswerState.DONE), "tiny-1-1")
    assert len(updates.fetched) == 1


def test_a_roll_back_during_a_probation_ends_it(bench, directives, releases):
    directives.take(install(releases[1]))
    directives.step()
    bench.refresh.step()
    assert bench.runs == "tiny-2-2"
    assert see_through(bench, directives, roll_back(releases[0])) == Answer("d2", AnswerState.DONE)
    assert bench.runs == "tiny-1-1"


def test_a_roll_back_of_an_install_that_failed_by_itself_is_done(bench, directives, releases):
    def fail_late(release, engine):
        directives.take(roll_back(releases[0]))
        directives.step()
        raise ReleaseMismatchError("golden crops come out at 0.3")

    bench.prepare = fail_late
    answer = see_through(bench, directives, install(releases[1]))
    assert (answer, bench.runs) == (Answer("d2", AnswerState.DONE), "tiny-1-1")


def test_a_roll_back_to_what_runs_is_done(bench, directives, releases):
    assert see_through(bench, directives, roll_back(releases[0])) == Answer("d2", AnswerState.DONE)
    assert bench.engine.num_swaps == 0


def test_a_roll_back_further_back_takes_what_is_kept(bench, directives, updates, releases):
    for release in releases[1:]:
        see_through(bench, directives, install(release, release.ref.version))
    answer = see_through(bench, directives, roll_back(releases[0]))
    assert (answer, bench.runs) == (Answer("d2", AnswerState.DONE), "tiny-1-1")
    assert len(updates.fetched) == 2


def test_a_roll_back_to_what_never_ran_here_is_downloaded_with_its_signature(bench, directives, updates, releases):
    see_through(bench, directives, install(releases[2]))
    answer = see_through(bench, directives, roll_back(releases[1]))
    assert (answer, bench.runs) == (Answer("d2", AnswerState.DONE), "tiny-2-2")
    assert updates.fetched == [releases[2].ref, releases[1].ref]


def test_a_roll_back_to_what_nobody_signed_is_refused(bench, directives, updates, releases):
    see_through(bench, directives, install(releases[2]))
    answer = see_through(bench, directives, Directive("d2", "rollback", ReleaseRef("evil", "0", "evil-0")))
    assert (answer.state, bench.runs) == (AnswerState.REFUSED, "tiny-3-3")
    assert "is not among what this site has signed" in answer.message


def test_a_roll_back_without_anything_before_is_refused(bench, directives):
    answer = see_through(bench, directives, roll_back())
    assert answer.state is AnswerState.REFUSED
    assert "there is no release before" in answer.message


def test_what_is_no_directive_is_refused_by_its_name(directives):
    directives.refuse("d9", "this edge does not know that directive")
    directives.step()
    assert directives.answer == Answer("d9", AnswerState.REFUSED, "this edge does not know that directive")
