from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet
from fakes_pictures import ATTRIBUTES, described_crop, write_pa100k
from torch import nn

from reid.attributes import AttributeHead
from reid.errors import ReleaseError
from reid.release import Release, load_release
from train.adapt import AdaptSettings
from train.adapted_release import AdaptedRun
from train.attributes import (
    AttributeTask,
    DescribedBy,
    add_attributes,
    evaluator_of_attributes,
    fit_head,
    head_of,
    score_head,
)
from train.augment import AugmentSettings
from train.calibrate import UNCALIBRATED
from train.cli import main
from train.datasets.pa100k import AttributeCrops
from train.errors import TrainingError
from train.export import ReleaseDescription, export_release
from train.losses.weighted_bce import weighted_bce
from train.optimiser import OptimiserSettings
from train.picture_trainer import PictureSettings, PictureTrainer
from train.run_folder import RunFolder
from train.start import read_start
from train.successor import Evidence, make_release

TINY = PictureSettings(
    architecture="osnet_x0_25",
    num_epochs=2,
    batch_size=8,
    precision="fp32",
    optimiser=OptimiserSettings(peak_lr=5e-3, warmup_share=0.0),
    augment=AugmentSettings(erase=0, colour_cast=0),
)


def made_crops(num_pictures: int = 32) -> AttributeCrops:
    rng = np.random.default_rng(3)
    labels = rng.random((num_pictures, len(ATTRIBUTES))) < 0.5
    return AttributeCrops(np.stack([described_crop(row, rng) for row in labels]), labels)


def trainer_in(folder: Path, *, num_epochs: int = 2, resume: bool = False, **options: Any) -> PictureTrainer:
    settings = TINY.model_copy(update={"num_epochs": num_epochs})
    run_folder = RunFolder(folder, settings.model_dump(mode="json"), resume=resume)
    return PictureTrainer(settings, AttributeTask(made_crops()), run_folder, **options)


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or the command would start the tests again


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_loss_by_hand() -> None:
    # Logit 0 costs log 2. Of an attribute that a quarter have: present weighs e^0.75, absent e^0.25.
    logits, labels = torch.zeros(2, 1), torch.tensor([[1.0], [0.0]])
    by_hand = np.log(2) * (np.exp(0.75) + np.exp(0.25)) / 2
    assert float(weighted_bce(logits, labels, torch.tensor([0.25]))) == pytest.approx(by_hand, rel=1e-6)


def test_loss_gradient() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels = (torch.arange(12).reshape(3, 4) % 2).double()
    shares = torch.tensor([0.1, 0.5, 0.9, 0.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: weighted_bce(values, labels, shares), (logits,))


def test_a_head_is_fitted_to_embeddings_that_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((300, 6)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.stack([embeddings[:, 0] > 0, embeddings[:, 1] + embeddings[:, 2] > 0.5], axis=1)
    head = fit_head(embeddings[:200], labels[:200], ("a", "b"))
    scores = score_head(head, embeddings[200:], labels[200:])
    assert scores["mA"] > 0.95
    assert scores["F1"] > 0.95


def test_nothing_to_fit_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no picture"):
        fit_head(np.empty((0, 4), np.float32), np.empty((0, 2), bool), ("a", "b"))
    with pytest.raises(TrainingError, match="a batch needs two"):
        PictureTrainer(TINY, AttributeTask(made_crops(1)), RunFolder(tmp_path / "run", {}))


def test_the_head_of_a_network_computes_what_its_loss_was_taken_of() -> None:
    network = seeded_osnet(num_classes=3)
    assert network.classifier is not None
    nn.init.normal_(network.classifier.weight, std=0.05)
    head = head_of(network, ATTRIBUTES)
    feats = torch.rand(4, 512)
    task = AttributeTask(made_crops(4))
    probabilities = torch.from_numpy(head.probabilities(nn.functional.normalize(feats, dim=1).numpy())).double()
    labels = torch.from_numpy(made_crops(4).labels_NA).double()
    by_hand = weighted_bce(torch.logit(probabilities), labels, labels.mean(dim=0))
    assert task.loss(network.classifier, feats, np.arange(4)).item() == pytest.approx(float(by_hand), rel=1e-3)
    with pytest.raises(TrainingError, match="no classifier of 1 attributes"):
        head_of(network, ("one",))


def test_training_lowers_the_loss_and_scores_the_last_epoch(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, num_epochs=4, evaluate=evaluator_of_attributes(made_crops(), ATTRIBUTES))
    assert trainer.run(threading.Event())
    history = trainer.history
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert 0 <= history[-1]["mA"] <= 1


def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    whole = trainer_in(tmp_path / "whole")
    whole.run(threading.Event())
    stop = threading.Event()
    first = trainer_in(tmp_path / "parts")
    assert not first.run(stop, on_epoch=lambda history: stop.set())
    rest = trainer_in(tmp_path / "parts", resume=True)
    assert rest.run(threading.Event())
    assert [line["loss"] for line in rest.history] == [line["loss"] for line in whole.history]


def test_a_release_with_a_head_is_the_same_release_otherwise(tiny_release: Release, tmp_path: Path) -> None:
    head = fit_head(np.eye(8, dtype=np.float32), np.eye(8, dtype=bool)[:, :1], ("a",))
    origin = DescribedBy(how="learned from 8 made pictures", scores={"mA": 1.0})
    made = add_attributes(tiny_release, tmp_path / "described", head, origin)
    assert made.ref == tiny_release.ref
    assert made.attributes is not None
    assert made.manifest.metrics["attributes.mA"] == 1.0
    assert made.manifest.provenance["attributes"] == "1, learned from 8 made pictures"
    with pytest.raises(ReleaseError, match="not empty"):
        add_attributes(tiny_release, tmp_path / "described", head, origin)


@pytest.fixture(scope="module")
def pa100k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pa100k")
    write_pa100k(root / "set")
    return root


def test_the_command_trains_a_whole_network_and_then_a_head_on_its_release(
    pa100k: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("attributes", "--data-root", pa100k / "set", "--cache", pa100k / "cache", "--json")
    whole = ("--recipe", "pa100k", "--arch", "osnet_x0_25", "--epochs", 1, "--out", tmp_path / "whole")
    assert run(*common, *whole) == 0
    release = load_release(tmp_path / "whole" / "release")
    assert release.attributes is not None
    assert release.attributes.names == ATTRIBUTES
    assert (tmp_path / "whole" / "curves.png").is_file()
    assert run(*common, "--init", release.folder, "--out", tmp_path / "head") == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["space"] == release.ref.space
    assert {"mA", "accuracy", "precision", "recall", "F1"} < set(printed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "adds to a release"),
        (("--recipe", "nine"), "unknown recipe 'nine'"),
        (("--recipe", "fine-tune"), "goes on from weights"),
    ],
    ids=["head without a release", "unknown recipe", "fine-tune without weights"],
)
def test_what_a_recipe_lacks_is_named(
    pa100k: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run("attributes", "--data-root", pa100k / "set", "--out", tmp_path / "run", *words) == 2
    assert message in capsys.readouterr().err


def test_a_release_adapted_from_one_with_a_head_has_that_head_in_its_own_space(tmp_path: Path) -> None:
    description = ReleaseDescription(name="own", version="1", thresholds=UNCALIBRATED, provenance={})
    plain = export_release(seeded_osnet(), tmp_path / "plain", description)
    head = AttributeHead(("a",), np.ones((1, 512), np.float32), np.zeros(1, np.float32))
    parent = add_attributes(plain, tmp_path / "parent", head, DescribedBy(how="made up", scores={}))
    run = AdaptedRun(
        start=read_start(parent.folder),
        recipe="ise",
        settings=AdaptSettings(init=str(parent.folder)),
        data={"data": "own", "split": "all"},
        num_crops=1,
    )
    crops = people_in_memory(num_pids=4, num_crops=4, height_px=256, width_px=128).crops
    made = make_release(run, ("own", "2"), seeded_osnet(seed=1), tmp_path / "r", Evidence(trained_on=crops), {})
    assert made.alignment is not None
    assert made.attributes is not None
    assert np.allclose(made.attributes.weight_AD, head.weight_AD @ made.alignment)
    assert "moved by the alignment" in made.manifest.provenance["attributes"]
