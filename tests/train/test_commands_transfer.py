from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fakes_dataset import write_people
from fakes_network import seeded_osnet

from reid.cli import new_app, run_app
from reid.release import load_release
from train import commands_adapt, commands_style
from train.checkpoint import save_checkpoint
from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.splits import split_all
from train.methods.ecn import EcnConfig
from train.styles.stargan import StarganSettings
from train.styles.style import StyleSettings
from train.transfer import TransferSettings


def tiny_recipe() -> TransferSettings:
    return TransferSettings(
        num_epochs=2,
        num_iterations=1,
        num_source=4,
        num_target=4,
        precision="fp32",
        method=EcnConfig(embedding_dim=0, starts_embedded=True, neighbourhood_from=2),
        style=StyleSettings(kind="colour"),
    )


def tiny_stargan() -> StarganSettings:
    return StarganSettings(
        height_px=32, channels=4, num_blocks=1, num_layers=3, num_steps=1, num_critic=1, batch_size=2
    )


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the logs at a stderr that ends with the test


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    write_people(tmp_path / "data", num_pids=4, num_crops=4)
    save_checkpoint(tmp_path / "start.pt", seeded_osnet())
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again
    monkeypatch.setitem(commands_adapt.TRANSFER_RECIPES, "tiny", tiny_recipe)
    monkeypatch.setitem(commands_style.RECIPES, "tiny", tiny_stargan)
    monkeypatch.setitem(DATASETS, "market1501", {"all": lambda root: split_all(read_market_folder(root))})
    return ["--data-root", str(tmp_path / "data"), "--cache", str(tmp_path / "cache")]


@pytest.fixture
def words(site: list[str], tmp_path: Path) -> list[str]:
    source = ["--source", "market1501", "--source-root", str(tmp_path / "data")]
    return ["adapt", *site, *source, "--init", str(tmp_path / "start.pt"), "--out", str(tmp_path / "run")]


def run(*arguments: str) -> int:
    app = new_app("The commands of transfer.")
    app.command("adapt")(commands_adapt.adapt)
    app.command("style-transfer")(commands_style.style_transfer)
    with pytest.raises(SystemExit) as stopped:
        run_app(app, arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_source_and_a_site_go_in_and_a_release_comes_out(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--method", "tiny") == 0
    assert "loss " in capsys.readouterr().out
    said = load_release(tmp_path / "run" / "release").manifest.provenance
    assert said["source"] == "market1501 all, with its labels"
    assert "--source market1501 --source-split all" in said["command"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["source"] == {"source": "market1501", "source-split": "all"}
    assert TransferSettings.model_validate(config["settings"]).method.method == "ecn"
    assert {"curves.png", "metrics.json", "progress.json"} <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("method", "left_out", "more", "said"),
    [
        ("tiny", "--source", [], "tiny learns from a labelled data set too: give it by --source and --source-root"),
        ("ise", "", [], "ise takes no labelled data set: leave --source out, or choose one of ecn"),
        ("tiny", "", ["--compatible"], "ecn has no compatibility term: leave --compatible out"),
        ("ecn-exemplar", "", ["--styles", "s"], "ecn-exemplar shows crops as they are: leave --styles out"),
        ("ecm", "", [], "unknown method 'ecm'; known: cluster-contrast, ise"),
    ],
    ids=["no-source", "source-of-no-use", "compatible", "styles-of-no-use", "unknown"],
)
def test_what_does_not_go_together_is_refused_at_once(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
    left_out: str,
    more: list[str],
    said: str,
) -> None:
    place = words.index(left_out) if left_out else len(words)
    assert run(*words[:place], *words[place + 2 :], "--method", method, *more) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_style_is_trained_drawn_judged_and_used(
    site: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = tmp_path / "style"
    assert run("style-transfer", *site, "--recipe", "tiny", "--out", str(style), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["passing"].keys() == {"real", "unchanged", "stargan", "colour", "fourier"}
    assert {"samples.png", "style.json", "transferred.npy", "metrics.json"} <= {path.name for path in style.iterdir()}
    assert run(*words, "--method", "tiny", "--styles", str(style), "--epochs", "1") == 0
    made = load_release(tmp_path / "run" / "release").manifest
    assert "--styles style" in made.provenance["command"]


def test_an_unknown_recipe_of_styles_is_refused(
    site: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("style-transfer", *site, "--recipe", "heavy", "--out", str(tmp_path / "style")) == 2
    assert "unknown recipe 'heavy'; known: light, paper" in capsys.readouterr().err
