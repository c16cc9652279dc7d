from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes_site import enroll, make_site

from server.cli import main
from server.releases.repository import ReleaseRepository


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, code: int = 0, as_json: bool = True) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--data", str(tmp_path), *(["--json"] if as_json else [])])
        assert (ended.value.code or 0) == code
        shown = capsys.readouterr()
        if code:
            return shown.err
        return json.loads(shown.out) if as_json else shown.out

    return run


def test_init_makes_the_keys(ask: Any, tmp_path: Path) -> None:
    assert ask("init")["signing_keys"] == str(tmp_path / "signing")
    states = {state["role"]: state for state in ask("signing", "status")}
    assert states.keys() == {"root", "targets", "snapshot", "timestamp"}
    assert all(state["has_key"] for state in states.values())


def test_stolen_timestamp_key_is_replaced(ask: Any) -> None:
    ask("init")
    assert ask("signing", "rotate", "timestamp")["version"] == 2
    assert ask("signing", "status")[0]["version"] == 2  # the root says so
    assert "new key" in ask("signing", "rotate", "snapshot", as_json=False)


def test_rotation_without_the_root_key_says_how(ask: Any, tmp_path: Path) -> None:
    ask("init")
    for key in (tmp_path / "signing").glob("root-*.key"):
        key.unlink()
    assert "put it back" in ask("signing", "rotate", "timestamp", code=2)
    assert "kept elsewhere" in ask("signing", "status", as_json=False)


def test_status_before_init_is_explained(ask: Any) -> None:
    assert "cannot be read" in ask("signing", "status", code=2)


def test_bundle_of_an_edge_brings_the_root_and_nobody_elses_does(tmp_path: Path) -> None:
    authority = make_site(tmp_path)
    bundle = enroll(authority, "edge", "edge1", "cam1")
    assert bundle.release_root == ReleaseRepository(tmp_path).root_text()
    assert enroll(authority, "operator", "ann").release_root == ""
