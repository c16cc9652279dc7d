from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest
import torch
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet
from torch import Tensor
from torch.nn.functional import normalize

from train.adapt import Adapter, AdaptSettings
from train.checkpoint import save_checkpoint
from train.losses.compatibility import Compatibility, CompatibilityConfig
from train.pseudo_labels import ClusterSettings
from train.run_folder import RunFolder
from train.site import site_of

OLD = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])


def tensors(*values: int) -> Tensor:
    return torch.tensor(values)


def term(weight: float = 1.0) -> Compatibility:
    """Label 0 in cameras 1 and 2, label 1 in camera 1; the last crop is an outlier."""
    made = Compatibility(CompatibilityConfig(weight=weight, temperature=1.0), OLD)
    made.begin_epoch(tensors(0, 0, 1, -1), tensors(1, 2, 1, 1))
    return made


def test_old_prototypes_are_means_by_label_and_camera_without_outliers() -> None:
    assert torch.equal(term().protos_PD, OLD[:3])


def test_a_new_feature_is_classified_among_old_prototypes_of_other_cameras() -> None:
    # In camera 1, label 0: its own cluster in camera 2 at cosine 1, the other cluster at cosine 0.
    loss = term(weight=0.5).loss(torch.tensor([[0.0, 1.0, 0.0]]), tensors(0), tensors(1))
    assert math.isclose(float(loss), 0.5 * math.log(1 + math.exp(-1)), rel_tol=1e-6)


def test_the_gradient_reaches_the_new_features_alone() -> None:
    old = OLD.clone().requires_grad_()
    made = Compatibility(CompatibilityConfig(weight=1.0), old)
    made.begin_epoch(tensors(0, 0, 1, -1), tensors(1, 2, 1, 1))
    feats = normalize(torch.ones(1, 3), dim=1).requires_grad_()
    made.loss(feats, tensors(0), tensors(1)).backward()
    assert feats.grad is not None
    assert float(feats.grad.abs().sum()) > 0
    assert old.grad is None


def test_a_gradient_step_brings_new_features_nearer_to_old_ones_of_other_cameras() -> None:
    feats = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    term().loss(feats, tensors(0), tensors(1)).backward()
    assert feats.grad is not None
    moved = normalize(feats.detach() - 0.5 * feats.grad, dim=1)
    assert float(moved @ OLD[1]) > float(feats.detach() @ OLD[1])


@pytest.fixture
def settings(tmp_path: Path) -> AdaptSettings:
    save_checkpoint(tmp_path / "init.pt", seeded_osnet())
    return AdaptSettings(
        init=str(tmp_path / "init.pt"),
        num_epochs=2,
        num_iterations=2,
        num_ids=3,
        num_crops=2,
        precision="fp32",
        clusters=ClusterSettings(k1=8, k2=2, eps=0.6, min_samples=2),
        compatible=CompatibilityConfig(weight=0.5),
    )


def adapter_in(folder: Path, settings: AdaptSettings, *, resume: bool = False) -> Adapter:
    site = site_of(people_in_memory(num_pids=8, num_crops=6))
    return Adapter(settings, site, RunFolder(folder, settings.model_dump(mode="json"), resume=resume))


def test_a_compatible_run_broken_off_goes_on_to_the_same_losses(tmp_path: Path, settings: AdaptSettings) -> None:
    whole = adapter_in(tmp_path / "whole", settings)
    whole.run(threading.Event())
    stop = threading.Event()
    adapter_in(tmp_path / "parts", settings).run(stop, lambda epoch, step, loss: stop.set() if epoch == 2 else None)
    rest = adapter_in(tmp_path / "parts", settings, resume=True)
    rest.run(threading.Event())
    assert [line["loss"] for line in rest.history] == [line["loss"] for line in whole.history]


def test_the_term_changes_the_run(tmp_path: Path, settings: AdaptSettings) -> None:
    free = settings.model_copy(update={"compatible": CompatibilityConfig()})
    runs = [adapter_in(tmp_path / name, chosen) for name, chosen in (("held", settings), ("free", free))]
    for run in runs:
        run.run(threading.Event())
    assert runs[0].history[0]["loss"] > runs[1].history[0]["loss"]
