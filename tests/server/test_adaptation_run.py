from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from server.adaptation.run import (
    ACTIVE,
    AdaptationRun,
    failed,
    from_document,
    next_step,
    resumed,
    stopped,
    to_document,
)
from server.errors import ConflictError, StorageError

RUN = AdaptationRun(run_key=3, trigger="operator", actor="ann", started_us=1, changed_us=1, parent="a-1")


def in_state(state: Any, **changes: Any) -> AdaptationRun:
    return replace(RUN, state=state, **changes)


@pytest.mark.parametrize("state", ACTIVE)
def test_a_run_that_failed_goes_on_where_it_was(state: Any) -> None:
    broken = failed(in_state(state), "no memory left", now_us=2)
    assert (broken.state, broken.message) == ("failed", "no memory left")
    again = resumed(broken, "ann", served="a-1", has_snapshot=True, now_us=3)
    assert (again.state, again.attempt) == (state, RUN.attempt + 1)


def test_a_roll_out_that_was_aborted_is_another_ones_to_begin() -> None:
    broken = failed(in_state("rolling_out", rollout_key=4, space="b-2"), "aborted", now_us=2)
    with pytest.raises(ConflictError, match="rollout start b-2"):
        resumed(broken, "ann", served="a-1", has_snapshot=True, now_us=3)


def test_without_its_snapshot_a_run_collects_again() -> None:
    broken = stopped(in_state("training"), "ann", now_us=2)
    assert resumed(broken, "ann", served="a-1", has_snapshot=False, now_us=3).state == "collecting"


def test_a_run_does_not_go_on_from_a_release_that_is_served_no_more() -> None:
    broken = failed(in_state("training"), "x", now_us=2)
    with pytest.raises(ConflictError, match="began from a-1, and b-2 is served now"):
        resumed(broken, "ann", served="b-2", has_snapshot=True, now_us=3)


@pytest.mark.parametrize("state", ["done", "refused", "failed", "stopped"])
def test_what_has_ended_cannot_be_stopped(state: Any) -> None:
    with pytest.raises(ConflictError, match=f"it is {state}"):
        stopped(in_state(state), "ann", now_us=2)


@pytest.mark.parametrize("state", ["done", "refused", *ACTIVE])
def test_only_what_was_broken_off_goes_on(state: Any) -> None:
    with pytest.raises(ConflictError, match="only a failed or stopped one"):
        resumed(in_state(state), "ann", served="a-1", has_snapshot=True, now_us=3)


def test_each_step_is_another_attempt() -> None:
    after = next_step(in_state("snapshot", attempt=4, num_losses=2), "training", message="m", now_us=9)
    assert (after.state, after.attempt, after.num_losses, after.changed_us) == ("training", 5, 0, 9)


def test_a_run_survives_its_document() -> None:
    assert from_document(to_document(in_state("gating", crop_bytes=7))) == in_state("gating", crop_bytes=7)


@pytest.mark.parametrize("document", ["{", "[]", "{}", to_document(RUN).replace("collecting", "flying", 1)])
def test_a_damaged_document_is_named(document: str) -> None:
    with pytest.raises(StorageError, match="adaptation run"):
        from_document(document)
