from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes_gate import write_bands_release, write_coloured_snapshot

from server.cli import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["gate", *words])
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A better child, its parent and a snapshot."""
    write_coloured_snapshot(tmp_path / "snapshot")
    parent = write_bands_release(tmp_path / "1", distraction=1.0)
    write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    (tmp_path / "bounds.json").write_text('{"max_slowdown": 100.0}')
    options = {"candidate": "2", "parent": "1", "snapshot": "snapshot", "bounds": "bounds.json"}
    return [word for option, name in options.items() for word in (f"--{option}", str(tmp_path / name))]


def test_the_verdict_is_printed_and_written(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--json", "--out", str(tmp_path / "verdict.json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["is_accepted"] is True
    assert printed == json.loads((tmp_path / "verdict.json").read_text())


def test_a_refusal_is_an_answer_for_people(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bounds.json").write_text('{"least_gain": 100.0, "max_slowdown": 100.0}')
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "separation" in out
    assert "refused" in out


def test_bounds_come_from_the_environment_without_a_file(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSPREY_SERVER_GATE__MIN_TRACKLETS", "1000")
    assert run(*words[:-2], "--json") == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["held_out"]["bound"] == 1000


@pytest.mark.parametrize(
    ("content", "fault"), [("[]", "JSON object"), ("{", "as JSON"), ('{"least_gian": 1}', "least_gain")]
)
def test_wrong_bounds_are_an_error(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, fault: str
) -> None:
    (tmp_path / "bounds.json").write_text(content)
    assert run(*words) == 2
    assert fault in capsys.readouterr().err


def test_a_parent_that_is_no_release_is_an_error(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words[words.index("--parent") + 1] = str(tmp_path / "snapshot")
    assert run(*words) == 2
    assert "is no release" in capsys.readouterr().err


def test_a_verdict_stands_without_its_examples(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "examples.json"
    assert run(*words, "--json", "--out", str(tmp_path / "verdict.json"), "--examples", str(path)) == 0
    assert (tmp_path / "verdict.json").is_file()
    assert not path.exists()  # these crops have names of no server
