from __future__ import annotations

import json

import pytest

from reid.errors import ReleaseError
from server.gate.verdict import Verdict, at_least, at_most, unmet, verdict_of


def test_a_verdict_accepts_only_when_every_check_passed() -> None:
    good, bad = at_least("size", 3.0, 2.0, "size"), at_most("noise", 3.0, 2.0, "noise")
    assert verdict_of((good,), {}).is_accepted
    refused = verdict_of((good, bad), {})
    assert not refused.is_accepted
    assert refused.failed == (bad,)
    assert refused.summary == "refused: noise 3, wanted at most 2"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_fails_on_either_side(value: float) -> None:
    assert not at_least("size", value, 2.0, "size").is_passed
    assert not at_most("size", value, 2.0, "size").is_passed


def test_a_verdict_comes_back_from_json_as_it_was() -> None:
    verdict = verdict_of((at_least("a", 1.0, 2.0, "a"), unmet("b", 0.5, "no graph")), {"parent_map": 0.9})
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_forced_verdict_names_the_operator_and_keeps_its_reasons() -> None:
    forced = verdict_of((unmet("a", 0.0, "a is missing"),), {}).forced("ada")
    assert forced.is_accepted
    assert forced.forced_by == "ada"
    assert forced.summary == "forced by ada against a is missing"


def test_something_else_is_no_verdict() -> None:
    with pytest.raises(ReleaseError, match="no verdict"):
        Verdict.from_json({"checks": [{"name": "a"}], "is_accepted": True})
