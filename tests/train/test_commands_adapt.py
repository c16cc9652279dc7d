from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakes_dataset import write_people
from fakes_network import seeded_osnet
from fakes_snapshot import write_site

from reid.cli import new_app, run_app
from reid.release import Release, Thresholds, load_release
from train import commands_adapt
from train.adapt import Adapter, AdaptSettings
from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.samples import Split
from train.datasets.splits import split_by_identity
from train.errors import TrainingError
from train.export import ReleaseDescription, export_release
from train.pseudo_labels import ClusterSettings


def tiny_recipe() -> AdaptSettings:
    clusters = ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2)
    return AdaptSettings(num_epochs=1, num_iterations=2, num_ids=3, num_crops=2, precision="fp32", clusters=clusters)


def read_tested(root: Path) -> Split:
    return split_by_identity(read_market_folder(root), num_train_pids=4)


def read_few(root: Path) -> Split:
    return read_tested(root)._replace(query=(), gallery=())


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the logs at a stderr that ends with the test


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Release:
    thresholds = Thresholds(match=0.7, how="chosen for tests")
    description = ReleaseDescription(name="campus", version="0.1.0", thresholds=thresholds, provenance={})
    return export_release(seeded_osnet(), tmp_path_factory.mktemp("parent") / "campus", description)


@pytest.fixture
def words(tmp_path: Path, parent: Release, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line for a small run on a data set that looks like Market-1501, without and with people to test on."""
    write_people(tmp_path / "data", num_pids=28, num_crops=4)
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again
    monkeypatch.setitem(commands_adapt.RECIPES, "tiny", tiny_recipe)
    monkeypatch.setitem(DATASETS, "market1501", {"few": read_few, "tested": read_tested})
    places = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    return ["--method", "tiny", "--init", str(parent.folder), *places]


def run(*arguments: str) -> int:
    app = new_app("A command line of this command alone.")
    app.command()(commands_adapt.adapt)
    with pytest.raises(SystemExit) as stopped:
        run_app(app, arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_release_goes_in_and_the_next_of_its_line_comes_out(
    words: list[str], tmp_path: Path, parent: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--split", "tested", "--calibrate", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    made = load_release(Path(printed["release"])).manifest
    assert (made.name, made.version, made.parent) == ("campus", "0.1.1", parent.ref.space)
    assert "24 test identities of market1501 tested, measured on this release" in made.thresholds.how
    assert made.metrics["mAP"] == printed["mAP"]
    assert made.provenance["data"] == "market1501 tested, 16 crops, labels not used"
    assert {"curves.png", "projection.png", "metrics.json"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_what_came_out_is_enough_to_start_from(words: list[str], tmp_path: Path) -> None:
    assert run(*words, "--name", "site", "--version", "1") == 0
    assert "not calibrated again" in load_release(tmp_path / "run" / "release").manifest.thresholds.how
    again = [*words, "--init", str(tmp_path / "run" / "release"), "--out", str(tmp_path / "again")]
    assert run(*again) == 0
    assert load_release(tmp_path / "again" / "release").manifest.version == "2"


def test_calibrating_without_people_to_test_on_is_refused_at_once(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--calibrate") == 2
    assert "market1501 few has none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_only_when_asked_to(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert [run(*words, *more) for more in (["--resume"], [], [], ["--resume"])] == [2, 0, 2, 0]
    said = capsys.readouterr().err
    assert said.count("start one without --resume") == said.count("go on with it by --resume") == 1


def test_config_is_kept_whole_and_events_are_written_when_asked_for(
    words: list[str], tmp_path: Path, parent: Release
) -> None:
    pytest.importorskip("tensorboard")
    assert run(*words, "--seed", "5", "--tensorboard") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert AdaptSettings.model_validate(config["settings"]).seed == 5
    assert config["data"] == {"data": "market1501", "split": "few", "name-pattern": "", "num_crops": 16}
    assert config["init_sha256"] == parent.manifest.sha256["trainable.safetensors"]
    assert any((tmp_path / "run" / "tensorboard").iterdir())


def test_a_release_without_trainable_weights_is_refused(
    words: list[str], parent: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(parent.folder, tmp_path / "bare")
    (tmp_path / "bare" / "trainable.safetensors").unlink()
    assert run(*words, "--init", str(tmp_path / "bare")) == 2
    assert "cannot be trained further: it has no trainable.safetensors" in capsys.readouterr().err


def test_a_stopped_run_says_how_to_go_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: Any) -> bool:
        return False

    monkeypatch.setattr(Adapter, "run", stopped)
    assert run(*words) == 130
    assert "stopped within the first epoch" in capsys.readouterr().err


@pytest.fixture
def on_snapshot(words: list[str], tmp_path: Path) -> list[str]:
    write_site(tmp_path / "snapshot", num_pids=12, num_held_out=6, num_crops=3, apart=[(0, 2), (22, 20)])
    return [*words, "--data", "snapshot", "--data-root", str(tmp_path / "snapshot")]


def test_a_snapshot_gives_a_release_that_is_aligned_and_calibrated_without_labels(
    on_snapshot: list[str], tmp_path: Path, parent: Release
) -> None:
    assert run(*on_snapshot) == 0
    made = load_release(tmp_path / "run" / "release")
    assert made.manifest.parent == parent.ref.space
    assert made.alignment is not None
    assert made.alignment.shape == (512, 512)
    assert 0 < made.manifest.metrics["aligned_cosine"] <= 1
    assert "of 66 pairs of held-out tracklets match" in made.manifest.thresholds.how
    assert made.manifest.provenance["data"].startswith("a snapshot of 2 cameras, 2023-11-14 22:13 UTC, 36 crops")
    assert made.manifest.provenance["snapshot.strategy"] == "boundary"
    progress = json.loads((tmp_path / "run" / "progress.json").read_text())
    assert (progress["epoch"], progress["step"], progress["num_steps"]) == (1, 2, 2)


@pytest.mark.parametrize(("more", "is_on"), [([], True), (["--no-compatible"], False)], ids=["default", "switched-off"])
def test_a_snapshot_holds_new_embeddings_to_old_ones(
    on_snapshot: list[str], tmp_path: Path, more: list[str], is_on: bool
) -> None:
    assert run(*on_snapshot, *more) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert AdaptSettings.model_validate(config["settings"]).compatible.is_on == is_on
    command = load_release(tmp_path / "run" / "release").manifest.provenance["command"]
    assert command.split()[-1] == ("--compatible" if is_on else "--no-compatible")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("loss is nan in epoch 2, step 1"), "error: loss is nan in epoch 2, step 1\n"),
        (MemoryError(), "error: out of memory; the last good checkpoint is kept"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "error: out of memory"),
    ],
    ids=["diverged", "memory", "torch-memory"],
)
def test_a_run_that_fails_says_so_in_one_line(
    words: list[str],
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*arguments: Any) -> bool:
        raise error

    monkeypatch.setattr(Adapter, "run", failing)
    assert run(*words) == 1
    assert said in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> bool:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Adapter, "run", failing)
    app = new_app("A command line of this command alone.")
    app.command()(commands_adapt.adapt)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_app(app, words)
