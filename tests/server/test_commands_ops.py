from __future__ import annotations

import json
from pathlib import Path

import pytest

from reid.release import GOLDEN_FILE, Release
from server.cli import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def words(tmp_path: Path, tiny_release: Release) -> list[str]:
    return ["--data", str(tmp_path / "data"), "--release", str(tiny_release.folder), "--listen", "127.0.0.1:0"]


def test_doctor_prints_a_line_for_each_check(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--insecure", *words) == 0
    out = capsys.readouterr().out
    assert "ok   release" in out
    assert "warn certificate" in out


def test_doctor_ends_with_1_when_something_fails(
    words: list[str], tiny_release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny_release.folder / GOLDEN_FILE).unlink()
    assert run("doctor", "--json", *words) == 1
    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["release"]["verdict"] == "fail"
    assert "golden.npz is missing" in findings["release"]["seen"]


def test_config_validate_judges_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.toml"
    path.write_text('data = "/srv/osprey"\n[metrics]\nlisten = "127.0.0.1:0"\n')
    assert run("config", "validate", str(path)) == 0
    assert "is valid: data /srv/osprey" in capsys.readouterr().out
    assert run("config", "validate", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["listen"] == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = "x"\nlsten = "a:1"\n', "did you mean 'listen'"),
        ('data = "x"\n[storage]\nurll = "a"\n', "'storage.urll': did you mean 'url'"),
        ('data = "x"\nlisten = "nowhere"\n', "wanted HOST:PORT"),
        ('data = "x"\n[metrics]\nlisten = "9464"\n', "wanted IP"),
        ("[streams]\nwindow_batches = 0\n", "streams.window_batches"),
    ],
)
def test_config_validate_names_the_wrong_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "server.toml"
    path.write_text(text)
    assert run("config", "validate", str(path)) == 2
    assert message in capsys.readouterr().err
