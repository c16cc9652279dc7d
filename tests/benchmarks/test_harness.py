import json
import subprocess
import sys

import pytest

from benchmarks.harness import Outcome, flags, publish

OUTCOME = Outcome(figures={"ratio": 12.3456789, "count": 3}, details={"crf": 23})


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return root


def test_the_last_line_on_stdout_is_the_promised_json(tmp_path, checkout, capsys):
    sys.stdout.write("chatter\n")
    publish("demo", OUTCOME, quick=True, folder=tmp_path / "results", root=checkout)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(line) == ["name", "commit", "quick", "figures"]
    assert line["figures"] == {"ratio": 12.3457, "count": 3}
    assert len(line["commit"]) == 12


def test_a_quick_run_writes_no_results(tmp_path, checkout):
    publish("demo", OUTCOME, quick=True, folder=tmp_path / "results", root=checkout)
    assert not (tmp_path / "results").exists()


def test_a_full_run_writes_where_its_figures_come_from(tmp_path, checkout):
    publish("demo", OUTCOME, quick=False, folder=tmp_path / "results", root=checkout)
    written = json.loads((tmp_path / "results" / "demo.json").read_text())
    assert written["details"] == {"crf": 23}
    assert written["dirty"] is False
    assert written["hardware"]["cores"] >= 1
    assert {"python", "numpy"} <= set(written["versions"])
    assert written["command"].startswith("python -m benchmarks.demo")
    assert "T" in written["date"]


def test_uncommitted_changes_are_admitted(tmp_path, checkout):
    (checkout / "new.py").write_text("x = 1\n")
    publish("demo", OUTCOME, quick=False, folder=tmp_path / "results", root=checkout)
    assert json.loads((tmp_path / "results" / "demo.json").read_text())["dirty"] is True


def test_results_of_an_earlier_run_are_no_uncommitted_change(tmp_path, checkout):
    earlier = checkout / "benchmarks" / "results" / "other.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("{}")
    publish("demo", OUTCOME, quick=False, folder=tmp_path / "results", root=checkout)
    assert json.loads((tmp_path / "results" / "demo.json").read_text())["dirty"] is False


def test_outside_a_checkout_the_commit_is_unknown(tmp_path):
    assert publish("demo", OUTCOME, quick=True, root=tmp_path)["commit"] == "unknown"


def test_folders_of_the_machine_stay_out_of_the_command(tmp_path, checkout, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bandwidth.py", "--video", "/home/somebody/street.mp4"])
    publish("demo", OUTCOME, quick=False, folder=tmp_path / "results", root=checkout)
    written = json.loads((tmp_path / "results" / "demo.json").read_text())
    assert written["command"] == "python -m benchmarks.demo --video street.mp4"


def test_every_benchmark_has_quick_and_json():
    chosen = flags("demo", "what it is for").parse_args(["--quick"])
    assert (chosen.quick, chosen.json) == (True, False)
