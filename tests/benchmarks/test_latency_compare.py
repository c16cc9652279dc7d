from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.instruments.latency.compare import changes, comparison, read_results
from benchmarks.latency import main


def results(*, speedup: float = 10.0, cosine: float = 0.9997, p50_ms: float = 2.0, cpu: str = "a") -> dict[str, Any]:
    return {
        "commit": "c0ffee",
        "date": "2026-11-20",
        "hardware": {"cpu": cpu},
        "figures": {"speedup_b1": speedup, "cosine_min": cosine},
        "details": {"model": {"1": {"onnxruntime fp32": {"p50_ms": p50_ms}}}},
    }


def regressions(new: dict[str, Any]) -> list[str]:
    return [change.name for change in changes(results(), new, bound=1.25) if change.is_regression]


def test_equal_results_have_no_regression() -> None:
    assert regressions(results()) == []


def test_more_is_worse_for_times_and_better_for_speedups() -> None:
    assert regressions(results(p50_ms=2.6, speedup=13.0)) == ["model, batch 1, onnxruntime fp32, p50_ms"]
    assert regressions(results(p50_ms=1.0, speedup=7.9)) == ["speedup_b1"]


def test_a_cosine_may_lose_a_thousandth() -> None:
    assert regressions(results(cosine=0.9988)) == []
    assert regressions(results(cosine=0.9980)) == ["cosine_min"]


def test_what_only_one_run_measured_is_not_compared() -> None:
    new = results()
    del new["figures"]["speedup_b1"]
    assert "speedup_b1" not in [change.name for change in changes(results(), new, bound=1.25)]


def test_the_comparison_names_the_regression_and_another_machine() -> None:
    old, new = results(), results(p50_ms=4.0, cpu="b")
    text = comparison(changes(old, new, bound=1.25), old, new, bound=1.25)
    assert "Another machine: a then, b now" in text
    assert "| model, batch 1, onnxruntime fp32, p50_ms | 2 | 4 | 2.00 |" in text


def test_two_files_are_compared_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(results()))
    new.write_text(json.dumps(results(speedup=5.0)))
    with pytest.raises(SystemExit) as ended:
        main(["--compare", str(old), str(new)])
    assert ended.value.code == 1
    assert "| speedup_b1 | 10 | 5 | 2.00 |" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--compare", str(old), str(new), "--bound", "2.5"])
    assert ended.value.code == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"figures": {}}'], ids=["no json", "a list", "without details"])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other\.json is no results file"):
        read_results(path)
