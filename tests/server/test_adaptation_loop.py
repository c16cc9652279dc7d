from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_adaptation import ANN, LoopParts

from server.adaptation.run import ACTIVE, AdaptationRun, RunState
from server.adaptation.settings import TriggerSettings
from server.adaptation.triggers import Reason
from server.errors import AdaptationError, ConflictError, NotFoundError, StorageError

RUN = AdaptationRun(trigger="operator", actor="ann", started_us=1, changed_us=1, parent="a-1")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[LoopParts]:
    parts = LoopParts(tmp_path)
    yield parts
    parts.engine.dispose()


def test_a_run_goes_through_all_steps(parts: LoopParts) -> None:
    async def scenario() -> AdaptationRun:
        async with parts.running() as loop:
            await loop.start(ANN)
            return await parts.until("done")

    run = asyncio.run(scenario())
    assert (run.run_key, run.actor, run.parent, run.attempt) == (1, "ann", "a-1", 5)
    assert all(step.num_taken == 1 for step in parts.steps.values())


@pytest.mark.parametrize("state", ACTIVE)
def test_a_server_that_dies_in_a_state_goes_on_there(parts: LoopParts, state: RunState) -> None:
    async def dies() -> None:
        parts.steps[state].is_held = True
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until(state)

    async def goes_on(again: LoopParts) -> None:
        async with again.running():
            await again.until("done")

    asyncio.run(dies())
    assert parts.steps[state].halted == []  # the process is left to the next server
    again = LoopParts(parts.data)
    asyncio.run(goes_on(again))
    taken = {name: step.num_taken for name, step in again.steps.items()}
    assert taken == {name: int(ACTIVE.index(name) >= ACTIVE.index(state)) for name in ACTIVE}
    again.engine.dispose()


def test_never_two_at_once(parts: LoopParts) -> None:
    async def scenario() -> None:
        parts.steps["training"].is_held = True
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until("training")
            with pytest.raises(ConflictError, match="adaptation run 1 is under way"):
                await loop.start(ANN)
            with pytest.raises(ConflictError, match="only a failed or stopped one"):
                await loop.resume(1, ANN)

    asyncio.run(scenario())
    with pytest.raises(ConflictError, match="under way"):
        parts.book.begin(RUN)
    assert len(parts.book.page(10)) == 1


def test_a_run_is_stopped_with_its_process_and_goes_on_there(parts: LoopParts) -> None:
    async def scenario() -> AdaptationRun:
        parts.steps["gating"].is_held = True
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until("gating")
            parts.folder(1).snapshot.mkdir(parents=True)
            (parts.folder(1).snapshot / "snapshot.json").write_text("{}")
            stopped = await loop.stop(0, ANN)
            assert (stopped.state, parts.steps["gating"].halted) == ("stopped", [1])
            parts.steps["gating"].is_held = False
            await loop.resume(1, ANN)
            return await parts.until("done")

    run = asyncio.run(scenario())
    assert run.run_key == 1
    assert {name: step.num_taken for name, step in parts.steps.items()}["training"] == 1
    told = [(entry.actor, entry.what, entry.subject, entry.outcome) for entry in parts.audit]
    assert told == [(ANN, what, "run 1", "done") for what in ("adapt start", "adapt stop", "adapt resume")]


def test_a_failure_ends_the_run_with_its_reason(parts: LoopParts) -> None:
    async def scenario() -> AdaptationRun:
        parts.steps["training"].error = AdaptationError("loss is not finite")
        async with parts.running() as loop:
            await loop.start(ANN)
            return await parts.until("failed")

    run = asyncio.run(scenario())
    assert (run.message, run.resumes_in) == ("loss is not finite", "training")


def test_a_full_disk_ends_the_run_and_says_where(parts: LoopParts) -> None:
    async def scenario() -> AdaptationRun:
        parts.steps["collecting"].error = OSError(28, "No space left on device", "wanted.json")
        async with parts.running() as loop:
            await loop.start(ANN)
            return await parts.until("failed")

    assert asyncio.run(scenario()).message == "wanted.json: No space left on device"


def test_a_fault_of_ours_ends_the_run_and_not_the_loop(parts: LoopParts) -> None:
    async def scenario() -> AdaptationRun:
        parts.steps["snapshot"].error = KeyError("oops")
        async with parts.running() as loop:
            await loop.start(ANN)
            failed = await parts.until("failed")
            await loop.resume(1, ANN)
            await parts.until("done")
            return failed

    assert "its log says why" in asyncio.run(scenario()).message


def test_records_that_cannot_be_written_fail_no_run(parts: LoopParts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        parts.steps["training"].error = StorageError("disk full (on request)")
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until("done")

    monkeypatch.setattr("server.adaptation.loop._RETRY_S", 0.01)
    asyncio.run(scenario())
    assert parts.steps["training"].num_taken == 2


@pytest.mark.parametrize("state", ["rolling_out", "done"])
def test_what_is_on_the_edges_is_not_stopped_from_here(parts: LoopParts, state: RunState) -> None:
    async def scenario() -> None:
        parts.steps["rolling_out"].is_held = state == "rolling_out"
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until(state)
            with pytest.raises(ConflictError, match=r"rollout abort|not under way"):
                await loop.stop(1, ANN)

    asyncio.run(scenario())


def test_a_run_that_is_not_there_is_not_found(parts: LoopParts) -> None:
    with pytest.raises(NotFoundError, match="no adaptation run 7"):
        asyncio.run(parts.loop.stop(7, ANN))


def test_a_reason_begins_a_run_once_in_its_time(tmp_path: Path) -> None:
    settings = TriggerSettings(automatic=True, check_s=0.01)
    parts = LoopParts(tmp_path, settings=settings, reason=Reason("drift", "camera a"))

    async def scenario() -> None:
        async with parts.running():
            await parts.until("done")
            await asyncio.sleep(0.1)

    asyncio.run(scenario())
    (run,) = parts.book.page(10)
    assert (run.trigger, run.message, run.actor) == ("drift", "went on", "adaptation")
    parts.engine.dispose()


def test_without_automatic_no_run_begins(tmp_path: Path) -> None:
    parts = LoopParts(tmp_path, reason=Reason("drift", "camera a"))

    async def scenario() -> None:
        async with parts.running():
            await asyncio.sleep(0.1)

    asyncio.run(scenario())
    assert parts.book.page(10) == []
    parts.engine.dispose()


def test_crops_leave_the_folder_of_a_run_that_has_ended(parts: LoopParts) -> None:
    async def scenario() -> None:
        parts.steps["rolling_out"].is_held = True
        async with parts.running() as loop:
            await loop.start(ANN)
            await parts.until("rolling_out")
        (parts.folder(1).snapshot / "crops").mkdir(parents=True)
        parts.folder(1).verdict.write_text("{}")
        parts.steps["rolling_out"].is_held = False
        async with parts.running():
            await parts.until("done")
            while parts.folder(1).snapshot.exists():
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert parts.folder(1).verdict.exists()


def test_runs_are_listed_latest_first_in_pages(parts: LoopParts) -> None:
    for _ in range(3):
        run = parts.book.begin(RUN)
        parts.book.save(replace(run, state="done"))
    assert [run.run_key for run in parts.book.page(2)] == [3, 2]
    assert [run.run_key for run in parts.book.page(2, before=2)] == [1]
