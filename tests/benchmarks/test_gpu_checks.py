from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.gpu import check, methods, summary, training
from benchmarks.gpu.needs import MissingPartError
from benchmarks.gpu.speed import GraphlessCuda
from benchmarks.harness import ROOT
from benchmarks.instruments.method_runs import parser as method_parser
from benchmarks.method_table import METHODS
from edge.settings import SHIPPED_RELEASE
from reid.errors import ReleaseMismatchError
from reid.release import Release
from train.cli import app


def found_by(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> dict[str, Any]:
    def run(_release: object, _folder: Path, figures: dict[str, Any], _details: dict[str, Any]) -> None:
        figures["cosine_fp32"] = 1.0
        raise error

    monkeypatch.setattr("benchmarks.gpu.parity.run", run)
    return check.outcome("parity", SHIPPED_RELEASE, folder)


def test_what_was_measured_before_a_part_was_missing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = found_by(monkeypatch, tmp_path, MissingPartError("no graph\nin fp16"))
    assert check.line_of(found) == "cosine_fp32 1; missing: no graph in fp16"


def test_a_wrong_engine_is_a_failure_and_no_missing_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = found_by(monkeypatch, tmp_path, ReleaseMismatchError("cosine 0.5"))
    assert check.line_of(found) == "FAILED: cosine 0.5"


def test_the_summary_fails_for_failures_and_for_checks_that_left_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = {"card": "none", "driver": "none", "date": "today", "figures": {}}
    (tmp_path / "gpu_builds.json").write_text(json.dumps({**origin, "missing": "no TensorRT"}))
    (tmp_path / "gpu_parity.json").write_text(json.dumps({**origin, "failed": "cosine 0.5"}))
    assert summary.main(["builds"], folder=tmp_path) == 0
    assert summary.main(["builds", "parity"], folder=tmp_path) == 1
    assert summary.main(["refit"], folder=tmp_path) == 1
    assert "builds     missing: no TensorRT" in capsys.readouterr().out


def test_without_graphs_the_captured_work_is_done_at_each_launch() -> None:
    done: list[str] = []
    cuda = GraphlessCuda(object())  # type: ignore[arg-type]
    graph = cuda.capture(lambda: done.append("work"), stream=0)
    assert not done
    cuda.launch(graph, stream=0)
    cuda.launch(graph, stream=0)
    assert done == ["work", "work"]


class Commands:
    """Stands in for `subprocess.run`: takes what the command line would take, and starts nothing."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        words = command[3:]
        if command[2] == "train":
            parser: Any = typer.main.get_command(app)
            parser.commands[words[0]].make_context(words[0], words[1:])
        else:
            method_parser("method_table", "", METHODS).parse_args(words)
        self.given.append(words)
        return subprocess.CompletedProcess(command, 0, stdout='{"mAP": 0.5, "figures": {"map_ecn": 50.0}}\n')


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    commands = Commands()
    (tmp_path / "market").mkdir()
    (tmp_path / "public.pth").write_bytes(b"weights")
    for module in (training, methods):
        monkeypatch.setattr(module, "need_torch_cuda", lambda: None)
        monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
        monkeypatch.setattr(module, "MARKET", tmp_path / "market")
        monkeypatch.setattr(module, "PUBLIC", tmp_path / "public.pth")
    monkeypatch.setattr(subprocess, "run", commands)
    return commands


def test_both_widths_are_trained_and_released(commands: Commands, tmp_path: Path, tiny_release: Release) -> None:
    broken_off = tmp_path / "runs" / "supervised_x1_0"
    broken_off.mkdir(parents=True)
    (broken_off / "checkpoint.pt").write_bytes(b"half way")
    figures: dict[str, Any] = {}
    training.run(tiny_release, tmp_path, figures, {})
    assert [words[0] for words in commands.given].count("export") == 2
    assert [words for words in commands.given if "--resume" in words] == [commands.given[1]]
    assert {"mAP_supervised_x0_25", "mAP_supervised_x1_0", "mAP_cluster_contrast", "mAP_ise"} <= figures.keys()


def test_each_network_gets_a_table_from_weights_that_it_has(
    commands: Commands, tmp_path: Path, tiny_release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imagenet.pth").write_bytes(b"weights")
    monkeypatch.setenv("RESNET50", str(tmp_path / "imagenet.pth"))
    monkeypatch.delenv("OSNET_X1_0", raising=False)
    figures: dict[str, Any] = {}
    methods.run(tiny_release, tmp_path, figures, {})
    starts = [words[words.index("--checkpoint") + 1] for words in commands.given if "--checkpoint" in words]
    assert [Path(start).name for start in starts] == ["public.pth", "final.pt", "imagenet.pth"]
    assert figures == {f"map_ecn_{name}": 50.0 for name in ("osnet_x0_25", "osnet_x1_0", "resnet50")}


@pytest.mark.system
def test_the_script_names_what_a_machine_without_a_gpu_lacks() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        ["bash", "benchmarks/gpu/run_all.sh", "roofline", "parity"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "roofline   missing: torch" in done.stdout
    assert "parity     missing:" in done.stdout
