from __future__ import annotations

from pathlib import Path

import pytest
from fakes_gate import NUM_CAMERAS, NUM_PEOPLE, seal_again, write_bands_release, write_coloured_snapshot

from reid.errors import SnapshotError
from reid.release import MODEL_FILE, Release
from reid.snapshot import Snapshot
from server.gate.judge import judge
from server.gate.settings import GateSettings
from server.gate.verdict import Verdict

SETTINGS = GateSettings(max_slowdown=100.0)  # such small networks take no time to measure


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return write_coloured_snapshot(tmp_path / "snapshot")


@pytest.fixture
def parent(tmp_path: Path) -> Release:
    return write_bands_release(tmp_path / "1", distraction=1.0)


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.failed}


def test_a_better_child_is_accepted(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    verdict = judge(child.folder, parent, snapshot, SETTINGS)
    assert verdict.is_accepted, verdict.summary
    assert verdict.figures["candidate_separation"] > verdict.figures["parent_separation"]


def test_a_worse_child_is_refused_with_reasons(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=3.0, parent=parent)
    verdict = judge(child.folder, parent, snapshot, SETTINGS)
    assert not verdict.is_accepted
    assert {"separation", "retrieval", "negative_flips"} <= failed(verdict)


def test_the_same_candidate_gets_the_same_verdict(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.9, parent=parent)
    first, again = (judge(child.folder, parent, snapshot, SETTINGS) for _ in range(2))
    assert first.checks[:-1] == again.checks[:-1]  # the last is time


def test_a_damaged_candidate_is_refused_not_raised(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    (child.folder / MODEL_FILE).write_bytes(b"no model")
    verdict = judge(child.folder, parent, snapshot, SETTINGS)
    assert failed(verdict) == {"readable"}
    assert "altered or damaged" in verdict.summary


def test_a_sealed_file_that_is_no_model_is_refused(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    (child.folder / MODEL_FILE).write_bytes(b"no model")
    verdict = judge(seal_again(child).folder, parent, snapshot, SETTINGS)
    assert failed(verdict) == {"golden_fp32"}


def test_a_missing_candidate_is_refused(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    assert failed(judge(tmp_path / "nothing", parent, snapshot, SETTINGS)) == {"readable"}


def test_too_little_held_out_decides_nothing(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    wanted = NUM_PEOPLE * NUM_CAMERAS + 1
    verdict = judge(child.folder, parent, snapshot, GateSettings(min_tracklets=wanted))
    assert failed(verdict) == {"held_out"}


def test_a_snapshot_of_another_parent_is_an_error(tmp_path: Path, parent: Release) -> None:
    foreign = write_coloured_snapshot(tmp_path / "foreign", parent="another")
    with pytest.raises(SnapshotError, match="made under another"):
        judge(parent.folder, parent, foreign, SETTINGS)


def test_progress_ends_at_its_total(tmp_path: Path, parent: Release, snapshot: Snapshot) -> None:
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    told: list[tuple[int, int]] = []
    judge(child.folder, parent, snapshot, SETTINGS, on_progress=lambda *numbers: told.append(numbers))
    assert told[-1][0] == told[-1][1]
    assert told == sorted(told)
