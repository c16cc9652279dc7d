from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import check, summary
from benchmarks.gpu.needs import MissingPartError
from benchmarks.gpu.speed import GraphlessCuda
from benchmarks.harness import ROOT
from edge.settings import SHIPPED_RELEASE
from reid.errors import ReleaseMismatchError


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
