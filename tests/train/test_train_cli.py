from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fakes_network import seeded_osnet

from reid.release import load_release
from train.checkpoint import save_checkpoint
from train.cli import main


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("public") / "osnet x0.25 (site).pth"
    torch.save({"state_dict": seeded_osnet(num_classes=5).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run-7") / "final.pt"
    save_checkpoint(path, seeded_osnet("osnet_ain_x0_25", num_classes=5))
    return path


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_import_writes_a_release_named_after_the_file(public: Path, tmp_path: Path) -> None:
    assert run("import-checkpoint", public, "--arch", "osnet_x0_25", "--out", tmp_path / "deep" / "R") == 0
    manifest = load_release(tmp_path / "deep" / "R").manifest
    assert (manifest.name, manifest.version, manifest.thresholds.match) == ("osnet-x0.25-site", "1", 0.6)
    assert "not calibrated" in manifest.thresholds.how
    assert manifest.provenance["checkpoint"] == public.name


def test_import_prints_json_and_warns_beside_it(
    public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import-checkpoint", public, "--arch", "osnet_x0_25", "--out", tmp_path / "R", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["space"] == load_release(tmp_path / "R").ref.space
    assert printed.err.startswith("warning: match threshold 0.6 is a default")


def test_export_takes_architecture_from_the_checkpoint_and_threshold_from_the_line(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threshold = ("--match-threshold", "0.72", "--threshold-how", "FMR 1e-3 on site")
    origin = ("--trained-on", "site", "--version", "2")
    assert run("export", "--checkpoint", ours, "--out", tmp_path / "R", *threshold, *origin) == 0
    manifest = load_release(tmp_path / "R").manifest
    assert (manifest.architecture, manifest.version, manifest.provenance["data"]) == ("osnet_ain_x0_25", "2", "site")
    assert (manifest.thresholds.match, manifest.thresholds.how) == (0.72, "FMR 1e-3 on site")
    assert capsys.readouterr().err == ""


def test_export_refuses_another_architecture_than_the_checkpoint_has(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", "--checkpoint", ours, "--arch", "osnet_x0_25", "--out", tmp_path / "R") == 2
    assert "is of osnet_ain_x0_25, not osnet_x0_25" in capsys.readouterr().err
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.pth", "--arch", "osnet_x0_25"), "error: checkpoint nowhere.pth is missing"),
        (("PUBLIC", "--arch", "osnet_x0_5"), "does not fit osnet_x0_5: "),
        (("PUBLIC", "--arch", "osnet_25"), "unknown architecture 'osnet_25': did you mean osnet_x0_25?"),
        (("PUBLIC", "--arch", "osnet_x0_25", "--name", "a/b"), "error: release name 'a/b'"),
    ],
    ids=["missing", "unfit", "unknown", "name"],
)
def test_import_errors_are_one_line_with_exit_code_two(
    arguments: tuple[str, ...], message: str, public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(public) if word == "PUBLIC" else word for word in arguments]
    assert run("import-checkpoint", *words, "--out", tmp_path / "R") == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_second_import_needs_force(public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("import-checkpoint", public, "--arch", "osnet_x0_25", "--out", tmp_path / "R")
    assert run(*words) == 0
    assert run(*words) == 2
    assert "--force" in capsys.readouterr().err
    assert run(*words, "--force", "--version", "2") == 0
    assert load_release(tmp_path / "R").ref.version == "2"


@pytest.mark.parametrize("command", ["import-checkpoint", "export"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"Example: osprey-train {command}" in capsys.readouterr().out
