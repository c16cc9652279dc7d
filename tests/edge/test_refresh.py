from __future__ import annotations

import errno
import itertools
import shutil
import threading
import time

import pytest
from fakes_refresh import CROPS, Bench, FakeEmbedder
from fakes_source import LONG_S, Hang
from releases import write_tiny_release

from edge.backends.selection import Selection
from edge.errors import BackendError, DeviceMemoryError, InstallError
from edge.releases.refresh import _MOVES, Event, Phase, judge_probation, next_phase
from edge.releases.state import WITHDRAWN
from edge.releases.store import ReleaseSettings
from reid.errors import EmbeddingError, ReleaseMismatchError


@pytest.fixture
def releases(tmp_path):
    """Three releases, each newer than the one before."""
    return [write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number)) for number in (1, 2, 3)]


@pytest.fixture
def bench(tmp_path, releases):
    bench = Bench(tmp_path, releases[0])
    yield bench
    bench.hold.__exit__(None, None, None)


def raising(error):
    def prepare(release, engine):
        raise error

    return prepare


def last_outcome(bench):
    return bench.state.outcomes[-1]


@pytest.mark.parametrize(
    ("phase", "event"),
    [pair for pair in itertools.product(Phase, Event) if pair not in _MOVES and pair[1] is not Event.ASKED],
    ids=lambda value: value.value,
)
def test_a_move_that_the_table_does_not_name_is_a_fault(phase, event):
    with pytest.raises(KeyError):
        next_phase(phase, event)


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.PREPARING_ALONE, Phase.PROBATION])
def test_asked_while_busy_is_one_clear_word(phase):
    with pytest.raises(InstallError, match=r"^busy"):
        next_phase(phase, Event.ASKED)


def test_every_phase_leads_back_to_idle():
    reachable = {Phase.IDLE}
    for _ in Phase:
        reachable |= {phase for (phase, _), following in _MOVES.items() if following in reachable}
    assert reachable == set(Phase)


@pytest.mark.parametrize(
    ("num_batches", "age_s", "failure", "verdict"),
    [
        (0, 1.0, None, None),
        (2, 59.0, None, None),
        (3, 1.0, None, Event.PROVEN),
        (0, 60.0, None, Event.PROVEN),
        (3, 60.0, EmbeddingError("nan"), Event.FAILED),
    ],
    ids=["fresh", "nearly", "batches", "time", "failed"],
)
def test_probation_ends_by_batches_by_time_or_by_a_failure(num_batches, age_s, failure, verdict):
    settings = ReleaseSettings(probation_batches=3, probation_s=60)
    assert judge_probation(num_batches=num_batches, age_s=age_s, failure=failure, settings=settings) is verdict


def test_a_release_is_tried_out_and_confirmed_after_enough_batches(bench, releases):
    request = bench.ask(releases[1])
    assert (bench.phase, bench.runs) == (Phase.PROBATION, "tiny-2-2")
    assert bench.state.confirmed.startswith("tiny-1-1")
    bench.engine.embed(CROPS)
    bench.refresh.step()
    assert bench.phase is Phase.PROBATION
    bench.engine.embed(CROPS)
    bench.refresh.step()
    assert (bench.phase, bench.state.confirmed) == (Phase.IDLE, request.key)
    assert (bench.state.outcome(request.request_id).verdict, bench.store.read_request()) == ("confirmed", None)
    assert bench.embedders["tiny-1-1"].is_closed


def test_where_nobody_passes_by_time_confirms(bench, releases):
    bench.ask(releases[1])
    bench.clock.now_s += 61
    bench.refresh.step()
    assert (bench.phase, bench.state.running) == (Phase.IDLE, bench.state.confirmed)


@pytest.mark.parametrize(
    "error",
    [ReleaseMismatchError("golden crops come out at 0.3"), BackendError("no driver"), RuntimeError("of a library")],
    ids=lambda error: type(error).__name__,
)
def test_a_release_that_cannot_be_prepared_leaves_the_old_one(bench, releases, error):
    bench.prepare = raising(error)
    request = bench.ask(releases[1])
    assert (bench.phase, bench.runs, bench.engine.num_swaps) == (Phase.IDLE, "tiny-1-1", 0)
    outcome = bench.state.outcome(request.request_id)
    assert (outcome.verdict, outcome.reason, bench.state.failed[request.key]) == ("failed", str(error), str(error))


def test_an_error_on_probation_rolls_back_and_no_batch_is_lost(bench, releases):
    bench.ask(releases[1])
    bench.embedders["tiny-2-2"].good_batches = 1
    assert [bench.engine.embed(CROPS).release.space for _ in range(3)] == ["tiny-2-2", "tiny-1-1", "tiny-1-1"]
    bench.refresh.step()
    assert bench.phase is Phase.IDLE
    assert "not finite" in last_outcome(bench).reason
    assert bench.state.confirmed.startswith("tiny-1-1")


def test_a_failed_release_is_deleted_and_may_be_tried_again(bench, releases):
    bench.prepare = raising(BackendError("no driver"))
    request = bench.ask(releases[1])
    assert not (bench.store.folder / request.key).exists()
    bench.prepare = bench.open
    bench.install(releases[1])
    assert bench.state.confirmed == request.key


def test_an_install_during_an_install_is_refused_as_busy(bench, releases):
    bench.ask(releases[1])
    with pytest.raises(InstallError, match="busy: install of tiny-2-2"):
        bench.store.ask_to_install(releases[2].folder)
    assert bench.store.read_request() is None


def test_what_was_asked_for_in_time_waits_until_the_install_before_it_is_over(bench, releases):
    hang = Hang()

    def prepare(release, engine):
        hang()
        return bench.open(release, engine)

    bench.prepare = prepare
    bench.store.ask_to_install(releases[1].folder)
    thread = threading.Thread(target=bench.refresh.step)
    thread.start()
    assert hang.begun.wait(LONG_S)
    waiting = bench.store._ask("install", bench.store.stage(releases[2].folder).folder.name)
    hang.released.set()
    thread.join(LONG_S)
    for _ in range(3):
        bench.engine.embed(CROPS)
    bench.refresh.step()  # confirms the first
    bench.refresh.step()  # takes the second
    assert (bench.phase, bench.refresh.status.key) == (Phase.PROBATION, waiting.key)


def test_cameras_go_on_and_the_heartbeat_rests_while_a_release_is_prepared(bench, releases):
    hang = Hang()

    def prepare(release, engine):
        hang()
        return bench.open(release, engine)

    bench.prepare = prepare
    bench.store.ask_to_install(releases[1].folder)
    stop = threading.Event()
    thread = threading.Thread(target=bench.refresh.run, args=(stop,))
    thread.start()
    assert hang.begun.wait(LONG_S)
    time.sleep(0.3)
    assert (bench.runs, bench.refresh.heartbeat.silent_s) == ("tiny-1-1", 0.0)
    stop.set()
    hang.released.set()
    thread.join(LONG_S)
    assert bench.phase is Phase.PROBATION


def test_an_older_release_is_refused_and_a_roll_back_is_the_way(bench, releases):
    bench.install(releases[1])
    with pytest.raises(InstallError, match="older than what runs"):
        bench.store.ask_to_install(releases[0].folder)
    bench.store.ask_to_roll_back()
    bench.refresh.step()
    assert bench.runs == "tiny-1-1"
    for _ in range(3):
        bench.engine.embed(CROPS)
    bench.refresh.step()
    assert (bench.state.confirmed[:8], list(bench.state.failed.values())) == ("tiny-1-1", [WITHDRAWN])


def test_an_older_release_is_installed_when_the_operator_insists(bench, releases):
    bench.install(releases[2])
    bench.store.ask_to_install(releases[1].folder, may_be_older=True)
    bench.refresh.step()
    assert (bench.phase, bench.runs) == (Phase.PROBATION, "tiny-2-2")


def test_a_release_older_than_the_configured_one_is_refused_by_the_agent(tmp_path, releases):
    bench = Bench(tmp_path / "other", releases[1])
    request = bench.ask(releases[0])
    outcome = bench.state.outcome(request.request_id)
    assert (outcome.verdict, bench.phase) == ("refused", Phase.IDLE)
    assert "older than what runs" in outcome.reason


def test_a_roll_back_ends_an_install_on_probation(bench, releases):
    install = bench.ask(releases[1])
    back = bench.store.ask_to_roll_back()
    bench.refresh.step()
    assert (bench.phase, bench.runs) == (Phase.IDLE, "tiny-1-1")
    assert bench.state.outcome(install.request_id).reason == WITHDRAWN
    assert bench.state.outcome(back.request_id).verdict == "confirmed"


def test_installing_what_runs_is_done_at_once(bench, releases):
    bench.install(releases[1])
    request = bench.ask(releases[1])
    assert (bench.state.outcome(request.request_id).verdict, bench.engine.num_swaps) == ("confirmed", 1)


class SmallDevice:
    """Has memory for one embedder; those of spaces in `broken` cannot be opened at all."""

    def __init__(self, bench, *broken):
        self.bench, self.broken = bench, broken

    def __call__(self, release, engine):
        if release.ref.space in self.broken:
            raise BackendError("unknown layer")
        if engine.running is not None:
            raise DeviceMemoryError("out of memory")
        return self.bench.open(release, engine)


def test_without_memory_for_two_the_old_one_is_closed_first(bench, releases):
    bench.prepare = SmallDevice(bench)
    old = bench.embedders["tiny-1-1"]
    bench.ask(releases[1])
    assert (old.is_closed, bench.phase, bench.runs) == (True, Phase.PROBATION, "tiny-2-2")
    bench.clock.now_s += 61
    bench.refresh.step()
    assert bench.state.confirmed.startswith("tiny-2-2")


def test_without_memory_for_two_a_failing_release_is_followed_by_the_old_one_opened_again(bench, releases):
    device = SmallDevice(bench)

    def prepare(release, engine):
        if release.ref.space == "tiny-2-2" and engine.running is None:
            raise ReleaseMismatchError("golden crops come out at 0.3")
        return device(release, engine)

    bench.prepare = prepare
    bench.ask(releases[1])
    assert (bench.phase, bench.runs) == (Phase.IDLE, "tiny-1-1")
    assert "golden crops" in last_outcome(bench).reason


def test_without_memory_for_two_an_error_on_probation_opens_the_old_one_again(bench, releases):
    bench.prepare = SmallDevice(bench)
    bench.ask(releases[1])
    bench.embedders["tiny-2-2"].good_batches = 0
    with pytest.raises(EmbeddingError):
        bench.engine.embed(CROPS)
    bench.refresh.step()
    assert (bench.phase, bench.runs) == (Phase.IDLE, "tiny-1-1")


def test_a_device_on_which_nothing_can_be_opened_any_more_ends_the_agent(bench, releases):
    bench.prepare = SmallDevice(bench, "tiny-1-1")
    bench.ask(releases[1])
    bench.embedders["tiny-2-2"].good_batches = 0
    with pytest.raises(EmbeddingError):
        bench.engine.embed(CROPS)
    with pytest.raises(BackendError, match="unknown layer"):
        bench.refresh.step()


def test_a_damaged_copy_is_refused_and_the_old_one_stays(bench, releases):
    request, staged = bench.store.ask_to_install(releases[1].folder)
    with staged.model_path.open("ab") as file:
        file.write(b"x")
    bench.refresh.step()
    outcome = bench.state.outcome(request.request_id)
    assert (outcome.verdict, bench.runs, bench.store.read_request()) == ("refused", "tiny-1-1", None)
    assert "altered or damaged" in outcome.reason


def test_a_configured_release_that_was_exchanged_under_the_agent_is_not_taken_for_what_runs(bench, releases, tmp_path):
    shutil.rmtree(releases[0].folder)
    write_tiny_release(releases[0].folder, seed=9, version="1")
    request = bench.ask(releases[1])
    outcome = bench.state.outcome(request.request_id)
    assert (outcome.verdict, bench.state.confirmed) == ("refused", None)
    assert "is not what runs any more: start the agent again" in outcome.reason


def test_a_full_disk_delays_what_is_written_and_loses_no_outcome(bench, releases, monkeypatch):
    bench.ask(releases[1])
    write = bench.store.write_state

    def full(state):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench.store, "write_state", full)
    bench.clock.now_s += 61
    bench.refresh.step()
    assert (bench.phase, bench.runs, bench.state.install.phase) == (Phase.IDLE, "tiny-2-2", "probation")
    monkeypatch.setattr(bench.store, "write_state", write)
    bench.refresh.step()
    assert bench.state.confirmed.startswith("tiny-2-2")
    assert bench.refresh.faults.counts["disk"] >= 1


def test_the_longest_gap_of_an_install_is_told(bench, releases):
    bench.engine.embed(CROPS)
    bench.ask(releases[1])
    bench.embedders[releases[1].ref.space].on_batch = bench.clock.passing(0.03, 0.02, 0.02)
    for _ in range(3):
        bench.engine.embed(CROPS)
    bench.refresh.step()
    assert last_outcome(bench).gap_ms == bench.refresh.status.gap_ms == pytest.approx(30.0)


def test_the_swap_is_of_exactly_what_was_prepared(bench, releases):
    prepared = FakeEmbedder(releases[1].ref, 42.0)
    bench.prepare = lambda release, engine: Selection(prepared, 1.0, "fake")
    bench.ask(releases[1])
    assert float(bench.engine.embed(CROPS).embeddings[0, 0]) == 42.0
