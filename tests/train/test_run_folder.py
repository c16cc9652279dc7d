from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.errors import CheckpointError, TrainingError
from train.osnet import build_osnet
from train.run_folder import RunFolder, summarise


def test_config_is_kept_whole(tmp_path: Path) -> None:
    config = {"recipe": "tiny", "settings": {"seed": 1, "stages": [{"num_epochs": 2}]}}
    RunFolder(tmp_path / "run", config)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == config


def test_a_folder_with_a_run_is_refused_unless_it_is_to_go_on(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"seed": 1}).save_checkpoint(build_osnet("osnet_x0_25"), {})
    with pytest.raises(TrainingError, match="holds a run: go on with it by --resume, or give another"):
        RunFolder(tmp_path, {"seed": 1})
    RunFolder(tmp_path, {"seed": 1}, resume=True)


def test_a_folder_without_a_checkpoint_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {"seed": 1})
    assert "the same command starts again" in folder.say_stopped()
    with pytest.raises(TrainingError, match="holds no run to go on with: start one without --resume"):
        RunFolder(tmp_path, {"seed": 1}, resume=True)
    assert not RunFolder(tmp_path, {"seed": 2}).holds_run


def test_a_stopped_run_is_told_to_resume(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    folder.save_checkpoint(build_osnet("osnet_x0_25"), {})
    assert "with --resume goes on from" in folder.say_stopped()


def test_keys_that_differ_are_named(tmp_path: Path) -> None:
    old = RunFolder(tmp_path, {"seed": 1, "split": "all", "data": "x"})
    old.save_checkpoint(build_osnet("osnet_x0_25"), {})
    with pytest.raises(TrainingError, match=r"another config \(seed, split\)"):
        RunFolder(tmp_path, {"seed": 2, "split": "500-251", "data": "x"}, resume=True)


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path, {}).save_checkpoint(build_osnet("osnet_x0_25"), {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(TrainingError, match=r"config\.json is damaged"):
        RunFolder(tmp_path, {}, resume=True)


def test_a_checkpoint_comes_back_with_what_was_put_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    assert folder.load_checkpoint() is None
    folder.save_checkpoint(build_osnet("osnet_x0_25"), {"epoch": 3})
    checkpoint = folder.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint.training == {"epoch": 3}


def test_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, network = RunFolder(tmp_path, {}), build_osnet("osnet_x0_25")
    folder.save_checkpoint(network, {"epoch": 1})

    def disk_full(descriptor: int) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(CheckpointError, match=r"cannot write .*checkpoint\.pt: No space left on device"):
        folder.save_checkpoint(network, {"epoch": 2})
    checkpoint = folder.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint.training == {"epoch": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "config.json"]


def test_metrics_hold_every_epoch_and_a_summary(tmp_path: Path) -> None:
    history = [
        {"epoch": 1, "loss": 2.5, "duration_s": 2.0, "mAP": 0.6},
        {"epoch": 2, "loss": 2.0, "duration_s": 1.0, "mAP": 0.5},
    ]
    RunFolder(tmp_path, {}).save_metrics(history)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["epochs"] == history
    best = {"epoch": 1, "mAP": 0.6}
    assert metrics["summary"] == {"num_epochs": 2, "duration_s": 3.0, "last": history[-1], "best": best}


def test_summary_of_a_run_without_scores_names_no_best() -> None:
    assert "best" not in summarise([{"epoch": 1, "loss": 2.5}])
