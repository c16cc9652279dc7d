from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from fakes_dataset import people_in_memory, write_people

from reid.errors import ConfigError
from train import commands_supervised, supervised
from train.augment import AugmentSettings
from train.checkpoint import load_osnet, read_checkpoint
from train.cli import main
from train.commands_supervised import run_config, stop_on_signals
from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.samples import Split
from train.datasets.splits import split_all, split_by_identity
from train.optimiser import learning_rate
from train.recipes.adaptation import ise
from train.recipes.default_release import default_release
from train.recipes.fine_tune import fine_tune
from train.recipes.osnet_paper import paper, paper_from_scratch, paper_x0_25
from train.supervised import Stage, SupervisedSettings


def tiny_recipe() -> SupervisedSettings:
    stage = Stage(num_epochs=1, height_px=64, width_px=32, num_ids=3, num_crops=2)
    return SupervisedSettings(stages=(stage,), precision="fp32", augment=AugmentSettings(erase=0))


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the logs at a stderr that ends with the test


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line for a small run on a data set that looks like Market-1501."""
    write_people(tmp_path / "data", num_pids=3, num_crops=4)
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again
    monkeypatch.setitem(commands_supervised.RECIPES, "tiny", tiny_recipe)
    monkeypatch.setitem(DATASETS, "market1501", {"all": lambda root: split_all(read_market_folder(root))})
    places = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    return ["supervised", "--recipe", "tiny", *places]


def test_run_ends_with_weights_and_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--seed", "7", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert Path(printed["final"]).is_file()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["recipe"], config["settings"]["seed"], config["data"]["num_crops"]) == ("tiny", 7, 12)


def test_a_stopped_run_says_how_to_go_on(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervised.SupervisedTrainer, "run", lambda *_: False)
    with pytest.raises(SystemExit, match="130"):
        main(arguments)
    assert "stopped within the first epoch" in capsys.readouterr().err


def test_a_run_goes_on_only_when_asked_to(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in (([], 0), ([], 2), (["--resume"], 0)):
        with pytest.raises(SystemExit, match=str(code)):
            main([*arguments, *words])
    assert capsys.readouterr().err.count("go on with it by --resume") == 1


def test_an_unknown_recipe_is_named_with_those_there_are(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'gourmet'; known: default-release"):
        commands_supervised.supervised(Path("d"), Path("o"), recipe="gourmet")


@pytest.mark.parametrize("recipe", ["default-release-full-size", "fine-tune", "paper", "paper-x0-25"])
def test_a_recipe_that_goes_on_wants_weights(arguments: list[str], recipe: str) -> None:
    with pytest.raises(ConfigError, match=f"'{recipe}' goes on from weights: give them with --init"):
        commands_supervised.supervised(Path("d"), Path("o"), recipe=recipe)


def test_a_split_with_people_to_test_on_is_scored(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_tested(root: Path) -> Split:
        return split_by_identity(read_market_folder(root), num_train_pids=3)

    write_people(tmp_path / "data", num_pids=5, num_crops=4)
    monkeypatch.setitem(DATASETS, "market1501", {"tested": read_tested})
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--split", "tested"])
    assert re.search(r"training accuracy .*%, mAP \d.*%, R1 \d.*%, R5", capsys.readouterr().out)
    last = json.loads((tmp_path / "run" / "metrics.json").read_text())["summary"]["last"]
    assert 0 < last["mAP"] <= 1


def test_the_supervised_bound_has_the_budget_of_adaptation() -> None:
    bound, adapted = fine_tune(), ise()
    stage = bound.stages[0]
    assert (bound.num_epochs, stage.num_iterations) == (adapted.num_epochs, adapted.num_iterations)
    assert (stage.num_ids, stage.num_crops) == (adapted.num_ids, adapted.num_crops)
    assert (bound.optimiser, bound.augment) == (adapted.optimiser, adapted.augment)


@pytest.mark.parametrize(("recipe", "drops"), [(paper_x0_25, [80, 160]), (paper_from_scratch, [150, 225, 300])])
def test_the_rate_of_the_papers_recipes_drops_after_whole_epochs(
    recipe: Callable[[], SupervisedSettings], drops: list[int]
) -> None:
    settings = recipe()
    rates = [learning_rate(epoch / settings.num_epochs, settings.optimiser) for epoch in range(settings.num_epochs)]
    assert [epoch for epoch in range(1, len(rates)) if rates[epoch] < rates[epoch - 1]] == drops
    assert rates[-1] == pytest.approx(rates[0] * 0.1 ** len(drops))


def test_the_paper_trains_the_classifier_alone_at_first() -> None:
    settings = paper()
    assert [settings.stage_at(epoch).classifier_only for epoch in (0, 9, 10, 249)] == [True, True, False, False]
    assert settings.num_epochs == 250


def test_another_width_takes_the_place_of_the_recipes(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--arch", "osnet_x0_5"])
    assert load_osnet(read_checkpoint(tmp_path / "run" / "final.pt")).architecture.name == "osnet_x0_5"


def test_ctrl_c_sets_the_event_once_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_default_recipe_and_its_data_are_kept_whole() -> None:
    crops = people_in_memory(num_pids=4, num_crops=2)
    config = run_config("default-release", default_release(), crops, dataset="market1501", split="all")
    assert SupervisedSettings.model_validate(json.loads(json.dumps(config["settings"]))) == default_release()
    assert config["data"] == {"dataset": "market1501", "split": "all", "num_crops": 8, "num_pids": 4}
