from __future__ import annotations

import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fakes_cameras import CAMERAS, CROPS

from train.errors import CheckpointError, StyleError, TrainingError
from train.styles.choice import make_style
from train.styles.sheet import draw_style_sheet
from train.styles.stargan import Discriminator, Generator, StarganSettings
from train.styles.stargan_trainer import StarganTrainer, crops_from, pictures_of
from train.styles.style import StyleSettings
from train.styles.transferred import ARRAY_FILE, STYLE_FILE, TransferredStyle, shrink, write_style

TINY = StarganSettings(
    height_px=32,
    channels=4,
    num_blocks=1,
    num_layers=3,
    is_residual=True,
    num_steps=4,
    num_critic=1,
    batch_size=4,
    save_every=2,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A style of the made-up crops in which everything is 50 brighter."""
    write_style(
        tmp_path,
        CROPS,
        CAMERAS,
        lambda small, cameras: np.clip(small.astype(int) + 50, 0, 255).astype(np.uint8),
        size_px=(32, 16),
        says={"data": "made up"},
    )
    return tmp_path


def trainer_in(folder: Path, settings: StarganSettings = TINY) -> StarganTrainer:
    folder.mkdir(exist_ok=True)
    return StarganTrainer(settings, CROPS, CAMERAS, folder)


@pytest.mark.parametrize("is_residual", [True, False], ids=["residual", "paper"])
def test_networks_keep_the_size_and_judge_every_camera(is_residual: bool) -> None:
    settings = TINY.model_copy(update={"is_residual": is_residual})
    pictures, cameras = torch.rand(2, 3, 32, 16) * 2 - 1, torch.tensor([0, 2])
    made = Generator(settings, 3)(pictures, cameras)
    scores, logits = Discriminator(settings, 3)(made)
    assert made.shape == pictures.shape
    assert bool(made.abs().max() <= 1) or is_residual
    assert (scores.shape, logits.shape) == ((2, 1, 4, 2), (2, 3))


def test_a_residual_generator_starts_as_the_picture_and_sees_the_wanted_camera() -> None:
    torch.manual_seed(0)
    generator, pictures = Generator(TINY, 2), torch.rand(1, 3, 32, 16)
    made = [generator(pictures, torch.tensor([camera])) for camera in (0, 1)]
    assert (made[0] - pictures).abs().max().item() < 0.1
    assert not torch.equal(made[0], made[1])


def test_a_coarse_change_has_no_checks_and_keeps_the_colour_it_adds() -> None:
    torch.manual_seed(0)
    pictures, camera = torch.zeros(1, 3, 32, 16), torch.tensor([1])
    fine = Generator(TINY, 2)
    torch.nn.init.normal_(fine.layers[-1].weight)
    coarse = Generator(TINY.model_copy(update={"coarse_px": 4}), 2)
    coarse.load_state_dict(fine.state_dict())
    rough, smooth = (generator(pictures, camera) for generator in (fine, coarse))
    assert smooth.diff(dim=2).abs().mean() < 0.2 * rough.diff(dim=2).abs().mean()
    torch.testing.assert_close(smooth.mean(dim=(2, 3)), rough.mean(dim=(2, 3)), rtol=0, atol=0.1)


def test_a_discriminator_with_too_many_halvings_is_refused() -> None:
    with pytest.raises(ValueError, match="5 halvings of 16 pixels leave none"):
        Discriminator(TINY.model_copy(update={"num_layers": 5}), 2)


def test_crops_survive_the_way_to_pictures_and_back() -> None:
    np.testing.assert_array_equal(crops_from(pictures_of(CROPS[:3], torch.device("cpu"))), CROPS[:3])


def test_a_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    whole = trainer_in(tmp_path / "whole")
    assert whole.run(threading.Event())
    stop = threading.Event()
    assert not trainer_in(tmp_path / "parts").run(stop, lambda step, loss: stop.set() if step == 2 else None)
    rest = trainer_in(tmp_path / "parts")
    assert rest.steps_done == 2
    assert rest.run(threading.Event())
    assert rest.history == whole.history
    assert json.loads((tmp_path / "parts" / "metrics.json").read_text())["steps"][-1]["step"] == 4


def test_training_lowers_the_reconstruction_loss(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"num_steps": 24, "save_every": 8, "is_residual": False, "peak_lr": 2e-3})
    trainer = trainer_in(tmp_path, settings)
    trainer.run(threading.Event())
    assert trainer.history[-1]["reconstruction"] < trainer.history[0]["reconstruction"]


def test_a_site_of_one_camera_has_no_other_style(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="all crops are of one camera"):
        StarganTrainer(TINY, CROPS, np.zeros_like(CAMERAS), tmp_path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    trainer_in(tmp_path).run(threading.Event())
    with pytest.raises(CheckpointError, match="give another output folder"):
        trainer_in(tmp_path, TINY.model_copy(update={"channels": 8}))


def test_what_a_generator_changed_is_added_at_full_size(folder: Path) -> None:
    style = make_style(StyleSettings(kind="stargan", folder=str(folder)), CROPS, CAMERAS)
    assert style is not None
    restyled = style.restyle(np.array([0, 1]), np.array([1, 1])).astype(int)
    np.testing.assert_array_equal(restyled[0], np.clip(CROPS[0].astype(int) + 50, 0, 255))
    np.testing.assert_array_equal(restyled[1], CROPS[1])


def test_a_style_of_other_crops_is_refused(folder: Path) -> None:
    with pytest.raises(StyleError, match="a style of other crops"):
        TransferredStyle(folder, CROPS[::-1], CAMERAS)


def test_a_style_that_is_not_done_or_damaged_is_refused(folder: Path) -> None:
    (folder / STYLE_FILE).write_text("{")
    with pytest.raises(StyleError, match="is damaged"):
        TransferredStyle(folder, CROPS, CAMERAS)
    (folder / STYLE_FILE).unlink()
    assert (folder / ARRAY_FILE).exists()
    with pytest.raises(StyleError, match="holds no finished style"):
        TransferredStyle(folder, CROPS, CAMERAS)


def test_a_sheet_has_a_line_for_each_crop_and_style(folder: Path, tmp_path: Path) -> None:
    style = TransferredStyle(folder, CROPS, CAMERAS)
    draw_style_sheet(tmp_path / "sheet.png", {"one": style, "two": style}, CROPS, CAMERAS, num_crops=3)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (28 + 6 * (64 + 8), 96 + 2 * (32 + 8), 3)
    # Own camera: the crop itself, in a green frame.
    np.testing.assert_array_equal(sheet[28 + 4 : 28 + 68, 100:132], CROPS[np.flatnonzero(CAMERAS == 0)[10]])
    assert tuple(sheet[30, 97]) == (60, 180, 60)


def test_shrinking_keeps_the_mean_colour() -> None:
    small = shrink(CROPS[:2], 16, 8)
    assert small.shape == (2, 16, 8, 3)
    assert abs(float(small.mean()) - float(CROPS[:2].mean())) < 1.0
