from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes_gate import write_bands_release, write_coloured_snapshot
from fakes_running import running_server
from releases import write_child_release, write_tiny_release

from reid.release import Release
from server.cli import main
from server.errors import ConflictError, ProtocolError
from server.gate.settings import GateSettings
from server.gate.verdict import Check, Verdict
from server.releases import inbox

WORSE = Check(name="retrieval", value=0.3, bound=0.4, is_passed=False, reason="0.3 is below 0.4")


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    with running_server(tmp_path / "data", tiny_release) as listening:
        yield listening


@pytest.fixture
def candidate(tmp_path: Path, tiny_release: Release) -> Release:
    return write_child_release(tiny_release, tmp_path / "candidate")


@pytest.fixture
def ask(address: str, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, code: int = 0, as_json: bool = True) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--server", address, *(["--json"] if as_json else [])])
        assert (ended.value.code or 0) == code
        shown = capsys.readouterr()
        if code == 2:
            return shown.err
        return json.loads(shown.out.strip().splitlines()[-1]) if as_json else shown.out

    return run


def judge_with(monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    async def judge(_: Path, **__: object) -> Verdict:
        return verdict

    monkeypatch.setattr("server.api.closed_loop.judge_by_snapshot", judge)


def test_releases_are_listed_shown_and_compared(ask: Any, candidate: Release) -> None:
    ask("release", "import", str(candidate.folder), "--force")
    first, second = ask("release", "list")
    assert (first["is_served"], second["is_served"], second["parent"]) == (True, False, "tiny-1-0")
    assert ask("release", "show", "tiny-2-1")["verdict"]["forced_by"] == "local"
    changed = {row["what"]: (row["one"], row["other"]) for row in ask("release", "diff", "tiny-1-0", "tiny-2-1")}
    assert changed["version"] == ("1", "2")
    assert changed["verdict.forced_by"] == (None, "local")
    assert "name" not in changed


def test_tables_are_readable(ask: Any, candidate: Release) -> None:
    imported = ask("release", "import", str(candidate.folder), "--force", as_json=False)
    assert imported.splitlines()[-1] == "tiny-2-1: released"
    assert "forced by local" in ask("release", "list", as_json=False)
    assert "match threshold" in ask("release", "show", "tiny-2-1", as_json=False)
    assert "num_bytes" in ask("release", "diff", "tiny-1-0", "tiny-2-1", as_json=False)
    started = ask("rollout", "start", "tiny-2-1", as_json=False)
    assert "roll-out 1 of tiny 2 (tiny-2-1): running, ring 1 of 3" in started


def test_roll_out_is_started_held_and_ended(ask: Any, candidate: Release) -> None:
    assert "no roll-out yet" in ask("rollout", "status", code=2)
    ask("release", "import", str(candidate.folder), "--force")
    assert ask("rollout", "start", "tiny-2-1")["state"] == "running"
    assert "is running" in ask("rollout", "start", "tiny-2-1", code=2)
    assert ask("rollout", "pause")["reason"] == "paused by local"
    assert ask("rollout", "resume")["state"] == "running"
    assert ask("rollout", "abort", "--reason", "rain")["reason"] == "aborted by local: rain"
    assert "it is" in ask("rollout", "pause", code=2)
    assert ask("rollout", "status", "1")["release"]["space"] == "tiny-2-1"
    assert "no roll-out 7" in ask("rollout", "status", "7", code=2)


def test_import_without_held_out_crops_is_explained(ask: Any, candidate: Release) -> None:
    assert "no held-out crops" in ask("release", "import", str(candidate.folder), code=2)
    assert len(ask("release", "list")) == 1


def test_altered_folder_is_not_even_sent(ask: Any, candidate: Release) -> None:
    candidate.model_path.write_bytes(b"altered")
    assert "altered or damaged" in ask("release", "import", str(candidate.folder), "--force", code=2)


def test_refused_release_takes_force(
    tmp_path: Path, tiny_release: Release, candidate: Release, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    judge_with(monkeypatch, Verdict(is_accepted=False, checks=(WORSE,)))
    with running_server(tmp_path / "other", tiny_release) as address:
        for words, code in (
            (["release", "import", str(candidate.folder)], 1),
            (["rollout", "start", "tiny-2-1"], 2),
            (["rollout", "start", "tiny-2-1", "--force"], 0),
        ):
            with pytest.raises(SystemExit) as ended:
                main([*words, "--server", address])
            assert (ended.value.code or 0) == code
    assert "tiny-2-1: refused: refused: 0.3 is below 0.4" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["audit", "--data", str(tmp_path / "other"), "--json"])
    what = [entry["what"] for entry in json.loads(capsys.readouterr().out.strip().splitlines()[-1])]
    assert what[:3] == ["import release", "force release", "roll-out start"]


@pytest.mark.parametrize(
    "pieces",
    [[("../evil", b"x")], [("", b"x")], [("model.onnx", b"x"), ("model.onnx", b"x")], [("passwd", b"x")]],
    ids=["path", "no name", "twice", "unknown"],
)
def test_parcel_takes_nothing_but_files_of_a_release(tmp_path: Path, pieces: list[tuple[str, bytes]]) -> None:
    parcel = inbox.Parcel(tmp_path)
    *before, last = pieces
    for file, chunk in before:
        parcel.add(file, chunk)
    with pytest.raises(ProtocolError, match="wanted"):
        parcel.add(*last)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["model.onnx"])


def test_parcel_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_LARGEST_BYTES", 5)
    parcel = inbox.Parcel(tmp_path)
    parcel.add("model.onnx", b"12345")
    with pytest.raises(ProtocolError, match="5 bytes at most"):
        parcel.add("", b"6")


class OneRelease:
    """A registry with a parent for everybody."""

    def __init__(self, parent: Release) -> None:
        self._parent = parent

    def release(self, _: str) -> Release:
        return self._parent

    def served(self) -> str:
        return self._parent.manifest.space


def test_gate_that_cannot_judge_says_why(tmp_path: Path, tiny_release: Release) -> None:
    snapshot = tmp_path / "1" / "snapshot"
    snapshot.mkdir(parents=True)
    (snapshot / "snapshot.json").write_text("{}")
    candidate = write_tiny_release(tmp_path / "candidate", seed=1)
    with pytest.raises(ConflictError, match=r"could not judge it: .*snapshot"):
        import_judged(candidate.folder, OneRelease(tiny_release), tmp_path, GateSettings())


def test_what_is_imported_is_judged_by_the_bounds_of_the_site(tmp_path: Path) -> None:
    parent = write_bands_release(tmp_path / "parent", distraction=1.0)
    child = write_bands_release(tmp_path / "child", distraction=0.2, parent=parent)
    (tmp_path / "runs" / "1").mkdir(parents=True)
    write_coloured_snapshot(tmp_path / "runs" / "1" / "snapshot")
    bounds = GateSettings(max_slowdown=100.0, min_tracklets=7, least_gain=1e6)
    verdict = import_judged(child.folder, OneRelease(parent), tmp_path / "runs", bounds)
    assert {check.name: check.bound for check in verdict.checks}["held_out"] == 7
    assert [check.name for check in verdict.failed] == ["crossing"]


def import_judged(candidate: Path, registry: Any, runs: Path, bounds: GateSettings) -> Verdict:
    return asyncio.run(inbox.judge_by_snapshot(candidate, registry=registry, runs=runs, bounds=bounds))
