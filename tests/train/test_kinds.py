from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes_network import seeded_osnet
from fakes_pictures import write_cifar

from train.cli import main
from train.kinds import kinds_of


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_telling_kinds_leaves_a_network_in_training() -> None:
    network = seeded_osnet("osnet_x0_25_small", num_classes=4).train()
    kinds = kinds_of(network, np.zeros((3, 32, 32, 3), np.uint8))
    assert kinds.shape == (3,)
    assert network.training


def test_the_command_leaves_weights_and_the_error_of_every_scored_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cifar(tmp_path, "cifar10", num_pictures=32)
    words = ("cifar", "--data-root", tmp_path, "--epochs", 2, "--out", tmp_path / "run", "--json")
    assert run(*words) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= last["error"] <= 1
    assert (tmp_path / "run" / "final.pt").is_file()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [line["epoch"] for line in metrics["epochs"]] == [1, 2]


def test_an_unknown_data_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cifar", "--data-root", tmp_path, "--data", "mnist", "--out", tmp_path / "run") == 2
    assert "unknown data set 'mnist'; known: cifar10, cifar100" in capsys.readouterr().err
