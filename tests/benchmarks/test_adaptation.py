from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import adaptation
from benchmarks.adaptation import collect, small_part
from benchmarks.instruments.adaptation_report import REFERENCE, curve_of, figures_of, plot_adaptation, table
from benchmarks.instruments.adaptation_runs import Run, Task, check_config, command, complete, differences, run_of
from train.datasets.market1501 import parse_market_name
from train.datasets.samples import Split
from train.errors import TrainingError
from train.recipes.adaptation import cluster_contrast, ise

DIRECT = (36.0, 57.0, 75.0)
CURVES = {"ise": {1: {5: (50.0, 68.0, 80.0), 20: (58.0, 74.0, 86.0)}, 2: {20: (60.0, 76.0, 88.0)}}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    return path


def write_run(run: Run, *, num_epochs: int, **changes: Any) -> None:
    """A folder as a run leaves it, save its weights."""
    run.folder.mkdir(parents=True)
    settings = run.settings.model_dump(mode="json") | {"init": "elsewhere/weights.pth"} | changes
    config = {"settings": settings, "data": {"data": "market1501", "split": "500-251"}}
    digest = hashlib.sha256(b"weights").hexdigest()
    (run.folder / "config.json").write_text(json.dumps({**config, "init_sha256": digest}))
    lines = [
        {"epoch": n, "duration_s": 1.0, **({"mAP": n / 100, "R1": 0.5, "R5": 0.6} if n % 5 == 0 else {})}
        for n in range(1, num_epochs + 1)
    ]
    (run.folder / "metrics.json").write_text(json.dumps({"epochs": lines}))


def task_in(folder: Path, checkpoint: Path) -> Task:
    return Task(data_root=folder / "market", checkpoint=checkpoint, cache=folder / "cache")


def test_figures_are_means_over_seeds_with_their_spread() -> None:
    figures = figures_of(DIRECT, CURVES, {"ise": "ise"})
    assert (figures["map_direct"], figures["map_ise"], figures["r1_ise"], figures["r5_ise"]) == (36.0, 59.0, 75.0, 87.0)
    assert figures["map_ise_spread"] == 2.0


def test_the_table_has_our_rows_their_mean_and_published_code() -> None:
    lines = table(DIRECT, CURVES).splitlines()
    assert "| ise, seed 1 | 50.0 / 68.0 / 80.0 |  |  | 58.0 / 74.0 / 86.0 |" in lines
    assert "| **ise, mean** |  |  |  | 59.0 / 75.0 / 87.0 |" in lines
    assert sum("published code" in line for line in lines) == 1 + sum(len(by_seed) for by_seed in REFERENCE.values())


def test_a_longer_run_gets_a_column_of_its_own() -> None:
    assert "| epoch 20 | epoch 60 |" in table(None, {"ise-plus": {1: {60: DIRECT}}}).splitlines()[0]


def test_only_scored_epochs_are_on_a_curve() -> None:
    assert curve_of([{"epoch": 4}, {"epoch": 5, "mAP": 0.5, "R1": 0.6, "R5": 0.75}]) == {5: (50.0, 60.0, 75.0)}


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    plot_adaptation(tmp_path / "plot.png", DIRECT, CURVES)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_complete_run_is_taken_as_it_is(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("ise", 1, tmp_path)
    write_run(run, num_epochs=20)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("it was run again"))
    complete(run, task_in(tmp_path, checkpoint))
    curves, missing = collect([run, run_of("ise", 2, tmp_path)], checkpoint)
    assert curves["ise"][1][20] == (20.0, 50.0, 60.0)
    assert missing == ["ise-2"]


@pytest.mark.parametrize("changes", [{"seed": 9}, {"num_ids": 8}], ids=str)
def test_a_run_of_another_config_is_refused_by_what_differs(
    tmp_path: Path, checkpoint: Path, changes: dict[str, int]
) -> None:
    run = run_of("ise", 1, tmp_path)
    write_run(run, num_epochs=20, **changes)
    with pytest.raises(TrainingError, match=rf"no run of today's recipe 'ise' with seed 1: {next(iter(changes))} "):
        check_config(run, checkpoint)


def test_a_run_from_other_weights_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    run = run_of("supervised", 1, tmp_path)
    write_run(run, num_epochs=20)
    checkpoint.write_bytes(b"others")
    with pytest.raises(TrainingError, match="init differ"):
        collect([run], checkpoint)


def test_options_younger_than_a_run_had_their_default_and_older_ones_were_off() -> None:
    old = cluster_contrast().model_dump(mode="json")
    del old["clusters"]["kind"]
    assert differences({**old, "gone": False}, cluster_contrast()) == []
    assert differences({**old, "gone": 2}, cluster_contrast()) == ["gone"]


def test_a_method_is_part_of_the_config() -> None:
    assert "method.method" in differences(ise().model_dump(mode="json"), cluster_contrast())


@pytest.mark.parametrize(("method", "kind"), [("ise", "adapt --method ise"), ("supervised", "supervised --recipe")])
def test_a_run_that_was_broken_off_is_gone_on_with(tmp_path: Path, checkpoint: Path, method: str, kind: str) -> None:
    task, run = task_in(tmp_path, checkpoint), run_of(method, 2, tmp_path)
    fresh = command(run, task)
    write_run(run, num_epochs=3)
    assert command(run, task) == [*fresh, "--resume"]
    assert kind in " ".join(fresh)
    assert f"--seed 2 --data market1501 --split 500-251 --data-root {task.data_root}" in " ".join(fresh)


def test_a_small_part_keeps_the_crops_of_its_people() -> None:
    train, query, gallery = (
        tuple(parse_market_name(Path(f"{pid:04d}_c{camera}s1_000001_01.jpg")) for pid in pids)
        for pids, camera in (((1, 2, 3), 1), ((4, 5, 6), 1), ((4, 5, 6, 0), 2))
    )
    part = small_part(Split(train=train, query=query, gallery=gallery), num_pids=2)
    pids = tuple([sample.pid for sample in samples] for samples in (part.train, part.query, part.gallery))
    assert pids == ([1, 2], [4, 5], [4, 5])


def test_the_short_form_without_data_says_so_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ["--data", str(tmp_path / "none"), "--checkpoint", str(tmp_path / "none.pth")]
    adaptation.main(["--quick", *nowhere])
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["figures"] == {}
    assert "skipped: no" in captured.err
    with pytest.raises(SystemExit, match="set OSPREY_DATA, or --data and --checkpoint"):
        adaptation.main(nowhere)
