"""The command `adapt` on a folder of pictures of which nothing is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fakes_dataset import write_people
from fakes_network import seeded_osnet

from train import commands_adapt
from train.adapt import AdaptSettings
from train.checkpoint import save_checkpoint
from train.cli import main
from train.pseudo_labels import ClusterSettings


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the logs at a stderr that ends with the test


def tiny_recipe() -> AdaptSettings:
    clusters = ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2)
    return AdaptSettings(num_epochs=1, num_iterations=2, num_ids=3, num_crops=2, precision="fp32", clusters=clusters)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    write_people(tmp_path / "crops" / "yard", num_pids=4, num_crops=4)
    save_checkpoint(tmp_path / "start.pt", seeded_osnet())
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again
    monkeypatch.setitem(commands_adapt.RECIPES, "tiny", tiny_recipe)
    places = {"--data-root": "crops", "--out": "run", "--cache": "cache", "--init": "start.pt"}
    options = [word for option, name in places.items() for word in (option, str(tmp_path / name))]
    return ["adapt", "--method", "tiny", "--data", "folder", *options]


def test_unlabelled_pictures_are_adapted_on_without_scores(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["num_clusters"] >= 3
    assert not {"pair_precision", "pair_recall", "mAP"} & printed.keys()


def test_unlabelled_pictures_do_not_train_with_labels(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data-root", str(tmp_path / "crops"), "--out", str(tmp_path / "labelled")]
    with pytest.raises(SystemExit, match="2"):
        main(["supervised", "--data", "folder", "--split", "all", *places])
    assert "has no identity: unlabelled pictures serve" in capsys.readouterr().err
    assert not (tmp_path / "labelled").exists()
