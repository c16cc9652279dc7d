from __future__ import annotations

from pathlib import Path

import pytest
from releases import write_tiny_release

from server.gate.verdict import Verdict, at_least, verdict_of
from server.releases.card import differences, gate_word
from server.releases.registry import RegisteredRelease


def known(folder: Path, *, version: str, verdict: Verdict | None = None) -> RegisteredRelease:
    return RegisteredRelease(
        manifest=write_tiny_release(folder, version=version).manifest,
        state="released",
        is_served=False,
        registered_us=5,
        verdict=verdict,
        num_bytes=10,
    )


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    one, other = known(tmp_path / "1", version="1"), known(tmp_path / "2", version="2")
    assert differences(one, one) == []
    found = {each.what: (each.one, each.other) for each in differences(one, other)}
    assert found["version"] == ("1", "2")
    assert "architecture" not in found


def test_checks_are_told_apart_by_their_names(tmp_path: Path) -> None:
    passed, missed = (verdict_of((at_least("map", value, 0.4, "mAP"),), {}) for value in (0.5, 0.3))
    one, other = known(tmp_path / "1", version="1", verdict=passed), known(tmp_path / "2", version="1", verdict=missed)
    found = {each.what: (each.one, each.other) for each in differences(one, other)}
    assert found["verdict.checks.map.value"] == (0.5, 0.3)
    assert found["verdict.is_accepted"] == (True, False)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (None, "not asked"),
        (Verdict(is_accepted=True, checks=()), "accepted"),
        (Verdict(is_accepted=False, checks=()), "refused"),
        (Verdict(is_accepted=False, checks=()).forced("ann"), "forced by ann"),
    ],
    ids=["none", "accepted", "refused", "forced"],
)
def test_the_gate_is_told_in_a_word(verdict: Verdict | None, word: str) -> None:
    assert gate_word(verdict) == word
