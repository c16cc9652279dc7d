from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes_dataset import people_in_memory

from train.augment import AugmentSettings
from train.checkpoint import load_osnet, read_checkpoint, save_checkpoint
from train.crop_cache import CachedCrops
from train.errors import CheckpointError, TrainingError
from train.optimiser import OptimiserSettings
from train.osnet import build_osnet
from train.run_folder import RunFolder
from train.supervised import Progress, Stage, SupervisedSettings, SupervisedTrainer

PEOPLE = people_in_memory(num_pids=6, num_crops=8)
STAGE = Stage(num_epochs=2, height_px=64, width_px=32, num_ids=3, num_crops=4)
TINY = SupervisedSettings(
    stages=(STAGE,),
    precision="fp32",
    optimiser=OptimiserSettings(peak_lr=3e-3, warmup_share=0.0),
    augment=AugmentSettings(erase=0.2),
)


def trainer_in(
    folder: Path, settings: SupervisedSettings = TINY, crops: CachedCrops = PEOPLE, *, resume: bool = False
) -> SupervisedTrainer:
    return SupervisedTrainer(settings, crops, RunFolder(folder, settings.model_dump(mode="json"), resume=resume))


def losses_of(trainer: SupervisedTrainer) -> list[float]:
    return [line["loss"] for line in trainer.history]


class StopAfter:
    """Sets the event after a number of steps, as a Ctrl-C would."""

    def __init__(self, num_steps: int) -> None:
        self.stop = threading.Event()
        self.num_left = num_steps

    def __call__(self, progress: Progress, num_steps: int) -> None:
        self.num_left -= 1
        if self.num_left == 0:
            self.stop.set()


def test_training_lowers_the_loss_and_leaves_weights_behind(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"stages": (STAGE.model_copy(update={"num_epochs": 4}),)})
    trainer = trainer_in(tmp_path, settings)
    assert trainer.run(threading.Event())
    assert losses_of(trainer)[-1] < 0.9 * losses_of(trainer)[0]
    assert load_osnet(read_checkpoint(tmp_path / "final.pt")).architecture.name == "osnet_x0_25"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [line["loss"] for line in metrics["epochs"]] == losses_of(trainer)


@pytest.mark.parametrize("num_steps", [1, 4, 5], ids=["in the first epoch", "between epochs", "in the last epoch"])
def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path, num_steps: int) -> None:
    whole = trainer_in(tmp_path / "whole")
    whole.run(threading.Event())
    stop_after = StopAfter(num_steps)
    assert not trainer_in(tmp_path / "parts").run(stop_after.stop, stop_after)
    rest = trainer_in(tmp_path / "parts", resume=True)
    assert rest.run(threading.Event())
    assert losses_of(rest) == losses_of(whole)
    ends = [read_checkpoint(tmp_path / name / "final.pt").state for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_an_epoch_can_have_a_number_of_steps(tmp_path: Path) -> None:
    counts = []
    trainer = trainer_in(
        tmp_path, TINY.model_copy(update={"stages": (STAGE.model_copy(update={"num_iterations": 5}),)})
    )
    trainer.run(threading.Event(), lambda progress, num_steps: counts.append((progress.epoch, num_steps)))
    assert counts == [(0, 5)] * 5 + [(1, 5)] * 5


def test_a_stage_can_train_the_classifier_alone(tmp_path: Path) -> None:
    """Statistics of batch norms are weights here too: they must not drift from what the classifier is fitted to."""
    frozen = STAGE.model_copy(update={"num_epochs": 1, "triplet_weight": 0, "classifier_only": True})
    trainer = trainer_in(tmp_path, TINY.model_copy(update={"stages": (frozen, STAGE)}))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    stop_after = StopAfter(4)
    assert not trainer.run(stop_after.stop, stop_after)
    after = trainer.network.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert trainer.run(threading.Event())
    assert not torch.equal(trainer.network.conv1.conv.weight, before["conv1.conv.weight"])


def test_scores_are_reported_when_due_and_at_the_end(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"stages": (STAGE.model_copy(update={"num_epochs": 3, "num_iterations": 1}),)})
    folder = RunFolder(tmp_path, settings.model_dump(mode="json"))
    trainer = SupervisedTrainer(settings, PEOPLE, folder, evaluate=lambda network: {"mAP": 0.5}, evaluate_every=2)
    trainer.run(threading.Event())
    assert ["mAP" in line for line in trainer.history] == [False, True, True]


def test_a_complete_run_does_nothing_more(tmp_path: Path) -> None:
    trainer_in(tmp_path).run(threading.Event())
    again = trainer_in(tmp_path, resume=True)
    assert again.run(threading.Event(), lambda progress, num_steps: pytest.fail("a step was run"))
    assert len(again.history) == TINY.num_epochs


def test_another_config_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    stop_after = StopAfter(1)
    trainer_in(tmp_path).run(stop_after.stop, stop_after)
    with pytest.raises(TrainingError, match=r"another config \(seed\): give another output folder"):
        trainer_in(tmp_path, TINY.model_copy(update={"seed": 2}), resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    stop_after = StopAfter(1)
    trainer_in(tmp_path).run(stop_after.stop, stop_after)
    good = (tmp_path / "checkpoint.pt").read_bytes()
    trainer = trainer_in(tmp_path, resume=True)
    with torch.no_grad():
        trainer.network.conv1.conv.weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match="loss is nan in epoch 1, step 2"):
        trainer.run(threading.Event())
    assert (tmp_path / "checkpoint.pt").read_bytes() == good


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    def spoil(progress: Progress, num_steps: int) -> None:
        stop.set()
        trainer.network.conv5.conv.weight.detach().fill_(torch.inf)

    trainer, stop = trainer_in(tmp_path), threading.Event()
    with pytest.raises(TrainingError, match="weights are not finite in epoch 1"):
        trainer.run(stop, spoil)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, TINY.model_dump(mode="json"))
    folder.save_checkpoint(build_osnet("osnet_x0_25", num_classes=6), {})
    with pytest.raises(CheckpointError, match="does not belong to this run"):
        trainer_in(tmp_path, resume=True)


def test_training_from_a_checkpoint_starts_at_its_weights(tmp_path: Path) -> None:
    start = build_osnet("osnet_x0_25", num_classes=99)
    save_checkpoint(tmp_path / "start.pt", start)
    trainer = trainer_in(tmp_path / "run", TINY.model_copy(update={"init": str(tmp_path / "start.pt")}))
    assert torch.equal(trainer.network.conv5.conv.weight, start.conv5.conv.weight)
    assert trainer.network.classifier is not None
    assert trainer.network.classifier.out_features == 6


def test_a_kept_classifier_must_be_of_the_same_identities(tmp_path: Path) -> None:
    start = build_osnet("osnet_x0_25", num_classes=6)
    save_checkpoint(tmp_path / "start.pt", start)
    settings = TINY.model_copy(update={"init": str(tmp_path / "start.pt"), "keep_classifier": True})
    kept = trainer_in(tmp_path / "same", settings).network.classifier
    assert kept is not None
    assert start.classifier is not None
    assert torch.equal(kept.weight, start.classifier.weight)
    with pytest.raises(CheckpointError, match="no classifier of the 5 identities"):
        trainer_in(tmp_path / "others", settings, people_in_memory(num_pids=5, num_crops=4))


def test_the_mean_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, TINY.model_copy(update={"ema_decay": 0.9, "triplet_margin": 0.1}))
    trainer.run(threading.Event())
    kept = read_checkpoint(tmp_path / "final.pt").state["conv5.conv.weight"]
    assert not torch.equal(kept, trainer.network.conv5.conv.weight)
    assert torch.allclose(kept, trainer.network.conv5.conv.weight, atol=0.05)


def test_bf16_trains_with_weights_in_float32(tmp_path: Path) -> None:
    one_epoch = STAGE.model_copy(update={"num_epochs": 1})
    trainer = trainer_in(tmp_path, TINY.model_copy(update={"precision": "bf16", "stages": (one_epoch,)}))
    trainer.run(threading.Event())
    assert np.isfinite(losses_of(trainer)[0])
    assert trainer.network.conv5.conv.weight.dtype == torch.float32


@pytest.mark.parametrize(("epoch", "height_px"), [(0, 64), (1, 64), (2, 128), (3, 128)])
def test_stages_follow_one_another(epoch: int, height_px: int) -> None:
    stages = (STAGE, Stage(num_epochs=2, height_px=128, width_px=64))
    settings: Any = TINY.model_copy(update={"stages": stages})
    assert settings.stage_at(epoch).height_px == height_px
    assert settings.num_epochs == 4
