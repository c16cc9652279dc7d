from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fakes_dataset import write_people

from reid.release import Release
from train.cli import main
from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.splits import split_by_identity


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the logs at a stderr that ends with the test


@pytest.fixture
def places(tmp_path: Path, tiny_release: Release, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options naming a tiny release, and 30 people of which 5 train."""
    write_people(tmp_path / "data", num_pids=30, num_crops=4)
    small = {"500-251": lambda root: split_by_identity(read_market_folder(root), num_train_pids=5)}
    monkeypatch.setitem(DATASETS, "market1501", small)
    folders = {"--release": tiny_release.folder, "--data-root": tmp_path / "data", "--cache": tmp_path / "cache"}
    return [word for option, folder in folders.items() for word in (option, str(folder))]


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(arguments)


def test_evaluate_prints_every_score_as_json(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run("evaluate", *places, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert 0 < printed["mINP"] <= printed["mAP"] <= 1
    assert printed["R1"] <= printed["R5"] <= printed["R10"]
    assert (printed["num_queries"], printed["num_gallery"], printed["split"]) == (50, 50, "500-251")


def test_evaluate_prints_percentages_for_people(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run("evaluate", *places)
    printed = capsys.readouterr().out
    assert "mAP" in printed
    assert "50 queries with a match (0 without), gallery 50" in printed


@pytest.mark.parametrize(("part", "num_pids"), [("test", 25), ("train", 5)])
def test_calibrate_uses_the_part_asked_for(
    places: list[str], part: str, num_pids: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", *places, "--part", part, "--rate", "0.05", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["num_pids"], printed["num_tracklets"]) == (num_pids, 2 * num_pids)
    assert printed["tracklets"]["false_match_rate"] <= 0.05
    assert -1 <= printed["tracklets"]["similarity"] <= 1


def test_calibrate_says_what_the_threshold_costs(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run("calibrate", *places, "--rate", "0.05")
    assert "cross-camera pairs of one person match" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "num_queries"), [(["--multi-query"], 50), (["--pool-tracklets"], 50), (["--re-rank"], 50)]
)
def test_evaluate_searches_as_asked(
    places: list[str], options: list[str], num_queries: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run("evaluate", *places, *options, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed[options[0].removeprefix("--").replace("-", "_")] is True
    assert (printed["num_queries"], printed["split"]) == (num_queries, "500-251")


def test_evaluate_draws_what_was_found(places: list[str], tmp_path: Path) -> None:
    run("evaluate", *places, "--gallery-sheet", str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
