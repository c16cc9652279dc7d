from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet
from pydantic import ValidationError

from reid.errors import ConfigError
from train.checkpoint import read_checkpoint, save_checkpoint
from train.distributed import Ranks
from train.errors import CheckpointError, StyleError
from train.methods.ecn import EcnConfig
from train.recipes.transfer import ecn, ecn_paper, in_style_of
from train.run_folder import RunFolder
from train.site import site_of
from train.source import source_of
from train.styles.style import StyleSettings
from train.transfer import Transfer, TransferSettings

SITE = site_of(people_in_memory(num_pids=8, num_crops=6))
SOURCE = source_of(people_in_memory(num_pids=5, num_crops=4))


@pytest.fixture
def settings(tmp_path: Path) -> TransferSettings:
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    return TransferSettings(
        init=str(tmp_path / "init.pt"),
        num_epochs=2,
        num_iterations=2,
        num_source=4,
        num_target=6,
        precision="fp32",
        method=EcnConfig(embedding_dim=16, neighbourhood_from=2),
        style=StyleSettings(kind="colour"),
    )


def transfer_in(folder: Path, settings: TransferSettings, *, resume: bool = False, **options: object) -> Transfer:
    run_folder = RunFolder(folder, settings.model_dump(mode="json"), resume=resume)
    return Transfer(settings, SOURCE, SITE, run_folder, **options)  # type: ignore[arg-type]


def losses_of(run: Transfer) -> list[tuple[float, float]]:
    return [(line["loss"], line["target_loss"]) for line in run.history]


def test_a_run_reports_each_epoch_and_leaves_weights_behind(tmp_path: Path, settings: TransferSettings) -> None:
    steps: list[tuple[int, int]] = []
    run = transfer_in(tmp_path / "run", settings, evaluate=lambda network: {"mAP": 0.5})
    assert run.run(threading.Event(), lambda epoch, step, loss: steps.append((epoch, step)))
    assert steps == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {"loss", "source_loss", "target_loss", "source_accuracy", "duration_s"} <= run.history[0].keys()
    assert ["mAP" in line for line in run.history] == [False, True]
    start, end = (read_checkpoint(path).state for path in (tmp_path / "init.pt", tmp_path / "run" / "final.pt"))
    assert not torch.equal(start["conv1.conv.weight"], end["conv1.conv.weight"])
    assert start.keys() == end.keys()


def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path, settings: TransferSettings) -> None:
    whole = transfer_in(tmp_path / "whole", settings)
    whole.run(threading.Event())
    stop = threading.Event()

    def stop_in_second_epoch(epoch: int, step: int, loss: float) -> None:
        if epoch == 2:
            stop.set()

    assert not transfer_in(tmp_path / "parts", settings).run(stop, stop_in_second_epoch)
    rest = transfer_in(tmp_path / "parts", settings, resume=True)
    assert rest.run(threading.Event())
    assert losses_of(rest) == losses_of(whole)


def test_another_seed_gives_other_losses(tmp_path: Path, settings: TransferSettings) -> None:
    short = settings.model_copy(update={"num_epochs": 1})
    runs = [transfer_in(tmp_path / str(seed), short.model_copy(update={"seed": seed})) for seed in (1, 2)]
    for run in runs:
        run.run(threading.Event())
    assert losses_of(runs[0]) != losses_of(runs[1])


def test_a_memory_that_starts_embedded_holds_the_sites_crops(tmp_path: Path, settings: TransferSettings) -> None:
    method = EcnConfig(embedding_dim=0, starts_embedded=True)
    short = settings.model_copy(update={"method": method, "num_epochs": 1, "num_iterations": 1})
    transfer_in(tmp_path / "run", short).run(threading.Event())
    memory = read_checkpoint(tmp_path / "run" / "checkpoint.pt").training["method"]["memory"]
    assert memory.shape == (len(SITE.crops), 512)
    torch.testing.assert_close(memory.norm(dim=1), torch.ones(len(memory)))


def test_crops_are_shown_by_all_cameras_only_in_a_style(tmp_path: Path, settings: TransferSettings) -> None:
    plain = settings.model_copy(update={"method": EcnConfig(camera=False), "style": StyleSettings()})
    rows = np.arange(40) % len(SITE.crops)
    shown = [
        transfer_in(tmp_path / name, each)._draw_cameras(rows, np.random.default_rng(0))
        for name, each in (("styled", settings), ("plain", plain))
    ]
    assert 8 <= np.count_nonzero(shown[0] + 1 != SITE.camids[rows]) <= 32
    np.testing.assert_array_equal(shown[1] + 1, SITE.camids[rows])


def test_camera_invariance_and_a_style_go_together() -> None:
    with pytest.raises(ValidationError, match="camera invariance needs colour, fourier or stargan"):
        TransferSettings(method=EcnConfig(), style=StyleSettings())
    with pytest.raises(ValidationError, match=r"style.kind is 'colour'"):
        TransferSettings(method=EcnConfig(camera=False), style=StyleSettings(kind="colour"))


def test_a_trained_style_is_asked_for_where_none_is_given(tmp_path: Path, settings: TransferSettings) -> None:
    paper = ecn_paper().model_copy(update={"init": settings.init})
    with pytest.raises(StyleError, match="give its folder by --styles"):
        transfer_in(tmp_path / "run", paper)
    assert in_style_of(ecn(), "styles/site").style == StyleSettings(kind="stargan", folder="styles/site")


def test_a_batch_too_small_to_share_is_refused(tmp_path: Path, settings: TransferSettings) -> None:
    with pytest.raises(ConfigError, match="a batch of 4 is too small for 3 processes: start at most 2"):
        transfer_in(tmp_path / "run", settings, ranks=Ranks(0, 3))


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path: Path, settings: TransferSettings) -> None:
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run" / "checkpoint.pt", seeded_osnet(), training={"something": 1})
    with pytest.raises(CheckpointError, match="does not belong to this run"):
        transfer_in(tmp_path / "run", settings, resume=True)
