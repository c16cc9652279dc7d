from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.errors import CheckpointError, TrainingError
from train.osnet import build_osnet
from train.run_folder import RunFolder


def test_config_is_kept_whole(tmp_path: Path) -> None:
    config = {"recipe": "tiny", "settings": {"seed": 1, "stages": [{"num_epochs": 2}]}}
    RunFolder(tmp_path / "run", config)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == config
    RunFolder(tmp_path / "run", config)  # the same run may go on


def test_keys_that_differ_are_named(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"seed": 1, "split": "all", "data": "x"})
    with pytest.raises(TrainingError, match=r"another config \(seed, split\)"):
        RunFolder(tmp_path, {"seed": 2, "split": "500-251", "data": "x"})


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(TrainingError, match=r"config\.json is damaged"):
        RunFolder(tmp_path, {})


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


def test_metrics_are_one_line_per_epoch(tmp_path: Path) -> None:
    RunFolder(tmp_path, {}).save_metrics([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0}])
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1, "loss": 2.5}\n{"epoch": 2, "loss": 2.0}\n'
