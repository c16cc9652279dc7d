from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.ablations import GROUPS, _rows
from benchmarks.instruments import method_runs
from benchmarks.instruments.command_runs import CommandRun, check_task, complete
from benchmarks.instruments.method_report import by_name, figures_of, plot_methods, table
from benchmarks.instruments.method_runs import parser, results_name, run_of, trained_style
from benchmarks.method_table import METHODS, NAME
from train.errors import TrainingError
from train.optimiser import OptimiserSettings

DIRECT = {"mAP": 30.0, "R1": 50.0, "R5": 70.0}


def run_in(folder: Path, *, name: str = "ecn", seed: int = 1, mAP: float | None = 0.4) -> CommandRun:
    """A run that is complete if it has a score."""
    folder = folder / f"{name}-{seed}"
    folder.mkdir(parents=True)
    if mAP is not None:
        (folder / "final.pt").write_bytes(b"weights")
        epochs = [{"epoch": 1, "mAP": mAP, "R1": mAP + 0.1, "R5": mAP + 0.2}]
        (folder / "metrics.json").write_text(json.dumps({"epochs": epochs}))
        (folder / "cost.json").write_text('{"minutes": 12.5, "peak_mib": 900}')
    return CommandRun(
        name=name, seed=seed, folder=folder, words=("adapt",), settings=OptimiserSettings(), files={}, init=None
    )


def chosen(folder: Path, epochs: int = 0) -> Namespace:
    arguments = ["--runs", str(folder), "--data", str(folder / "market"), "--checkpoint", str(folder / "weights.pth")]
    return parser(NAME, "", METHODS).parse_args([*arguments, "--epochs", str(epochs)])


def test_a_table_has_means_seeds_and_costs(tmp_path: Path) -> None:
    runs, missing = by_name([run_in(tmp_path), run_in(tmp_path, seed=2, mAP=0.44), run_in(tmp_path, seed=3, mAP=None)])
    assert missing == ["ecn-3"]
    assert "| direct transfer | 30.0 | 50.0 | 70.0 | | | |" in table(DIRECT, runs)
    assert "| ecn | 42.0 | 52.0 | 62.0 | 40.0, 44.0 | 12 | 900 |" in table(DIRECT, runs)
    figures = figures_of(DIRECT, runs)
    assert figures["map_ecn"] == pytest.approx(42.0)
    assert figures["map_ecn_spread"] == pytest.approx(4.0)
    assert (figures["map_direct"], figures["minutes_ecn"], figures["peak_mib_ecn"]) == (30.0, 12.5, 900)


def test_a_plot_is_drawn_with_and_without_direct_transfer(tmp_path: Path) -> None:
    runs, _ = by_name([run_in(tmp_path), run_in(tmp_path, name="mar", mAP=0.3)])
    for number, direct in enumerate((DIRECT, None)):
        plot_methods(tmp_path / f"{number}.png", direct, runs, test="made people")
        assert (tmp_path / f"{number}.png").stat().st_size > 5_000


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    check_task(run)
    check_task(run)
    with pytest.raises(TrainingError, match=r"another run \(settings differ\)"):
        check_task(replace(run, settings=OptimiserSettings(peak_lr=1.0)))


def test_a_complete_run_is_not_started_again(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    complete(run)
    assert run.cost.minutes == 12.5


def test_a_run_that_fails_is_an_error_and_costs_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path, mAP=None)
    failing = property(lambda self: [sys.executable, "-c", "raise SystemExit(3)"])
    monkeypatch.setattr(CommandRun, "command", failing)
    with pytest.raises(TrainingError, match="ended with code 3"):
        complete(run)
    assert run.cost.peak_mib > 1
    assert run.cost.minutes > 0


def test_a_run_without_scores_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no scores after its last epoch"):
        _ = run_in(tmp_path, mAP=None).scores


@pytest.mark.parametrize("method", METHODS)
def test_methods_that_learn_from_a_source_are_given_one(tmp_path: Path, method: str) -> None:
    run = run_of(method, 2, chosen(tmp_path, epochs=3))
    is_given = "--source" in run.words
    assert is_given is (method in ("ecn", "mar", "ise-source"))
    assert ("--source-root" in run.files) is is_given
    command = run.command
    assert command[command.index("--epochs") + 1] == "3"
    assert command[command.index("--init") + 1] == str(tmp_path / "weights.pth")
    assert "--resume" not in command


def test_results_of_another_network_or_a_gpu_take_the_place_of_no_others(tmp_path: Path) -> None:
    wanted = chosen(tmp_path)
    assert results_name(NAME, wanted) == "method_table"
    wanted.arch, wanted.device = "resnet50", "cuda"
    assert results_name(NAME, wanted) == "method_table_resnet50_cuda"
    command = run_of("ecn", 1, wanted).command
    assert command[command.index("--arch") + 1] == "resnet50"
    assert command[command.index("--device") + 1] == "cuda"


def test_an_ablation_by_a_stargan_is_given_its_folder_which_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    wanted = chosen(tmp_path)
    with pytest.raises(TrainingError, match="style failed"):
        trained_style(wanted)
    style = Path(started[0][started[0].index("--out") + 1])
    assert "--resume" not in started[0]
    style.mkdir()
    (style / "checkpoint.pt").write_bytes(b"half way")
    with pytest.raises(TrainingError):
        trained_style(wanted)
    assert started[1][-1] == "--resume"
    (style / "style.json").write_text("{}")
    wanted.styles = trained_style(wanted)
    assert len(started) == 2
    assert run_of("ecn-stargan", 1, wanted).files["--styles"] == style
    assert "--styles" not in run_of("ecn", 1, wanted).files


def test_a_network_from_scratch_is_trained_with_labels(tmp_path: Path) -> None:
    command = run_of("osnet-t1", 1, chosen(tmp_path)).command
    assert command[3:6] == ["supervised", "--recipe", "osnet-t1"]
    assert "--init" not in command


def test_a_run_that_was_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    run = run_in(tmp_path, mAP=None)
    (run.folder / "checkpoint.pt").write_bytes(b"half way")
    assert run.command[-1] == "--resume"


def test_the_rows_of_some_groups_are_those_groups_alone() -> None:
    assert _rows(["ise"]) == list(GROUPS["ise"])
    assert len(_rows(list(GROUPS))) == len(set(_rows(list(GROUPS))))


def test_without_data_only_the_short_form_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_runs, "ROOT", tmp_path)
    missing = Namespace(data=tmp_path / "none", checkpoint=tmp_path, quick=True)
    assert method_runs.skip_without_data(NAME, missing)
    assert json.loads(capsys.readouterr().out)["figures"] == {}
    with pytest.raises(SystemExit, match="set OSPREY_DATA"):
        method_runs.skip_without_data(NAME, Namespace(**{**vars(missing), "quick": False}))
