from __future__ import annotations

import pytest
from releases import write_tiny_release

from edge.releases.state import WITHDRAWN, ReleaseState, Request, why_older


def install(key, request_id="r1"):
    return Request(request_id=request_id, action="install", key=key)


def rollback(key):
    return Request(request_id="r2", action="rollback", key=key)


def confirmed(*keys):
    """A state after these were installed one after the other."""
    state = ReleaseState()
    for key in keys:
        state = state.begin(install(key)).try_out().confirm()
    return state


def test_a_candidate_runs_on_probation_and_starts_only_when_it_is_confirmed():
    state = confirmed("a").begin(install("b"))
    assert (state.running, state.confirmed) == ("a", "a")
    state = state.try_out()
    assert (state.running, state.confirmed) == ("b", "a")
    state = state.confirm(12.5)
    assert (state.running, state.confirmed, state.previous) == ("b", "b", "a")
    assert (state.outcome("r1").verdict, state.outcomes[-1].gap_ms) == ("confirmed", 12.5)


@pytest.mark.parametrize("is_running", [False, True], ids=["preparing", "probation"])
def test_an_interrupted_install_is_given_up_with_its_reason(is_running):
    state = confirmed("a").begin(install("b", "r9"))
    state = (state.try_out() if is_running else state).recover()
    assert (state.running, state.confirmed, state.install) == ("a", "a", None)
    assert ("on probation" if is_running else "being prepared") in state.failed["b"]
    assert state.outcome("r9").verdict == "failed"


def test_recovery_changes_nothing_when_nothing_was_under_way():
    state = confirmed("a", "b")
    assert state.recover() is state


def test_a_roll_back_goes_one_release_back_and_says_why_the_newer_one_is_not_used():
    state = confirmed("a", "b", "c")
    state = state.begin(rollback("b")).try_out().confirm()
    assert (state.confirmed, state.previous, state.failed) == ("b", "a", {"c": WITHDRAWN})


def test_a_failed_roll_back_leaves_the_former_release_to_try_again():
    state = confirmed("a", "b").begin(rollback("a")).give_up("no memory")
    assert (state.confirmed, state.previous, state.failed) == ("b", "a", {})


def test_what_was_superseded_is_older_and_refused_but_a_withdrawn_one_is_not():
    state = confirmed("a", "b")
    assert "older than what runs" in state.refusal(install("a"))
    assert state.begin(rollback("a")).try_out().confirm().refusal(install("b")) == ""


def test_an_older_release_that_the_operator_wants_takes_the_newer_ones_place():
    state = confirmed("a", "b", "c", "d")
    request = Request(request_id="r", action="install", key="b", may_be_older=True)
    assert state.refusal(request) == ""
    state = state.begin(request).try_out().confirm()
    assert (state.confirmed, state.superseded, state.failed) == ("b", ("a",), {"d": WITHDRAWN})
    assert state.refusal(install("c")) == ""


def test_a_roll_back_without_a_release_before_is_refused():
    assert "no release before" in confirmed("a").refusal(rollback("a"))


def test_installing_a_failed_release_again_forgets_the_old_reason():
    state = confirmed("a").begin(install("b")).give_up("golden crops")
    assert state.failed == {"b": "golden crops"}
    assert state.begin(install("b")).failed == {}


def test_installing_the_same_release_twice_does_not_make_it_its_own_predecessor():
    assert confirmed("a", "b", "b").superseded == ("a",)


def test_a_damaged_release_gives_way_to_the_one_before():
    state = confirmed("a", "b").fall_back("altered")
    assert (state.confirmed, state.previous, state.failed) == ("a", None, {"b": "altered"})
    assert state.fall_back("altered too").confirmed is None


def test_nothing_grows_without_bound():
    state = confirmed(*(f"k{number}" for number in range(100)))
    for number in range(100):
        state = state.begin(install(f"bad{number}")).give_up("bad")
    assert (len(state.superseded), len(state.failed), len(state.outcomes)) == (64, 16, 8)
    assert "bad99" in state.failed


@pytest.mark.parametrize(
    ("versions", "is_older"),
    [(("1.2.9", "1.2.10"), True), (("2", "1.9"), False), (("1.0", "1.0"), False), (("main", "1.0"), False)],
    ids=["lower", "higher", "equal", "no-number"],
)
def test_age_is_told_by_version_numbers(tmp_path, versions, is_older):
    candidate, running = (
        write_tiny_release(tmp_path / f"r{row}", seed=row, version=version).manifest
        for row, version in enumerate(versions)
    )
    assert bool(why_older(candidate, running)) == is_older


def test_the_parent_of_what_runs_is_older_whatever_its_version_says(tmp_path):
    parent = write_tiny_release(tmp_path / "parent", version="b").manifest
    child = write_tiny_release(tmp_path / "child", seed=1, version="a").manifest
    child = child.model_copy(update={"parent": parent.space})
    assert "was made from it" in why_older(parent, child)
    assert why_older(child, parent) == ""
