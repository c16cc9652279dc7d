from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes_running import running_server

from reid.credentials import read_credentials
from reid.release import Release
from server.cli import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def data(tmp_path: Path) -> str:
    assert run("init", "--data", str(tmp_path / "data"), "--host", "osprey.example", "--host", "10.0.0.5") == 0
    return str(tmp_path / "data")


def listed(data: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run("enroll", "list", "--data", data, "--json") == 0
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_one_file_holds_all_that_an_edge_needs(data: str, tmp_path: Path) -> None:
    out = tmp_path / "entrance.bundle"
    assert run("enroll", "edge", "entrance", "--cameras", "door, hall", "--data", data, "--out", str(out)) == 0
    bundle = read_credentials(out)
    assert (bundle.name, bundle.camids, bundle.server) == ("entrance", ("door", "hall"), "osprey.example:7070")


def test_a_person_gets_in_with_the_file_or_its_variable(
    data: str, tmp_path: Path, tiny_release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "ann")
    assert run("enroll", "operator", "ann", "--data", data, "--out", out) == 0
    with running_server(Path(data), tiny_release, insecure=False) as address:
        assert run("status", "--server", address, "--credentials", out) == 0
        assert run("status", "--server", address) == 2
        monkeypatch.setenv("OSPREY_CREDENTIALS", out)
        assert run("persons", "--server", address) == 0


def test_scripts_are_told_what_was_made_and_revoked(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("edge", "e1", "--data", data, "--json")
    capsys.readouterr()
    for command in (("enroll", "--cameras", "c", "--out", "b1"), ("renew", "--out", "b2"), ("revoke",), ("revoke",)):
        made = [str(tmp_path / word) if word in ("b1", "b2") else word for word in command[1:]]
        assert run(command[0], *words, *made) == 0
    enrolled, renewed, *revoked = map(json.loads, capsys.readouterr().out.splitlines())
    assert (enrolled["camids"], renewed["out"]) == (["c"], str(tmp_path / "b2"))
    assert [answer["num_revoked"] for answer in revoked] == [2, 0]


def test_the_list_shows_states_and_no_hashes(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("enroll", "viewer", "vic", "--data", data, "--out", str(tmp_path / "1"))
    run("renew", "viewer", "vic", "--data", data, "--out", str(tmp_path / "2"))
    first, second = listed(data, capsys)
    assert "token_sha256" not in first
    assert run("revoke", "viewer", "vic", "--data", data, "--serial", str(first["serial"])) == 0
    assert [bool(row["revoked_at_s"]) for row in listed(data, capsys)] == [True, False]
    assert first["serial"] != second["serial"]
    run("enroll", "list", "--data", data)
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init"], "void every bundle"),
        (["enroll", "edge", "e1", "--cameras", ",", "--out", "x"], "at least one camera"),
        (["enroll", "edge", "e 1", "--cameras", "c", "--out", "x"], "name of the edge"),
        (["enroll", "edge", "e1", "--cameras", "c", "--out", "x", "--server", "elsewhere:1"], "not for elsewhere"),
        (["renew", "operator", "nobody", "--out", "x"], "never enrolled"),
        (["revoke", "edge", "nobody"], "never enrolled"),
    ],
)
def test_mistakes_are_one_line(data: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert run(*words, "--data", data) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_new_host_is_added_by_renewing_the_server(data: str, tmp_path: Path) -> None:
    enrolling = ["enroll", "edge", "e1", "--cameras", "c", "--data", data, "--server", "new.example:1", "--out"]
    assert run(*enrolling, str(tmp_path / "b")) == 2
    assert run("renew", "server", "--data", data, "--host", "new.example") == 0
    assert run(*enrolling, str(tmp_path / "b")) == 0
