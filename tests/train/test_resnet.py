from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes_network import shaken
from torch import Tensor, nn

from reid.embedder import OnnxEmbedder, check_golden
from reid.release import Thresholds, load_release
from train.architectures import build_network
from train.checkpoint import load_network, load_osnet, read_checkpoint, save_checkpoint
from train.complexity import count_macs, count_parameters
from train.errors import CheckpointError
from train.export import ReleaseDescription, export_release
from train.fold import fold_for_inference
from train.half_graph import half_graph
from train.images import images_of
from train.network import Network
from train.resnet import RESNETS, GeneralisedMeanPool, Pooling, ResNet, ResNetArchitecture


def small_resnet(pooling: Pooling = "avg", *, neck: bool = False) -> ResNet:
    """A ResNet with everything that the large one has, and 64 features."""
    torch.manual_seed(0)
    architecture = ResNetArchitecture(name="small", pooling=pooling, neck=neck, depths=(1, 2, 1, 1), width=2)
    return shaken(ResNet(architecture))


@pytest.fixture
def small_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks known by name."""
    for suffix, network in {"": small_resnet(), "_gem_neck": small_resnet("gem", neck=True)}.items():
        monkeypatch.setitem(RESNETS, f"small{suffix}", network.architecture)


def imagenet_state() -> dict[str, Tensor]:
    """Random weights under the names of public ImageNet weights."""
    return {**small_resnet().state_dict(), "fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}


def crops(num_crops: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_crops, 64, 32, 3), dtype=np.uint8)


VARIANTS = pytest.mark.parametrize(
    ("pooling", "neck"), [("avg", False), ("gem", False), ("avg", True), ("gem", True)], ids=lambda value: str(value)
)


@pytest.mark.parametrize("name", RESNETS)
def test_parameters_are_those_of_the_published_network_without_its_classifier(name: str) -> None:
    extra = ("gem" in name) + 2 * 2048 * ("neck" in name)
    assert count_parameters(name) == 25_557_032 - (2048 + 1) * 1000 + extra


def test_a_last_stage_at_full_resolution_has_the_published_cost() -> None:
    assert count_macs("resnet50") == pytest.approx(4.05e9, rel=0.01)


def test_features_are_the_pooled_last_stage_at_a_sixteenth_of_the_size() -> None:
    network = small_resnet()
    sizes: list[tuple[int, ...]] = []
    network.layer4.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape)))
    feats = network(torch.randn(2, 3, 256, 128))
    assert feats.shape == (2, network.feature_dim) == (2, 64)
    assert sizes == [(2, 64, 16, 8)]


def test_names_are_the_public_ones_but_for_the_classifier() -> None:
    with torch.device("meta"):
        names = build_network("resnet50").state_dict().keys()
    assert len(names) == 320 - len({"fc.weight", "fc.bias"})
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.downsample.1.bias", "layer3.5.conv3.weight"} <= names


@pytest.mark.usefixtures("small_names")
def test_imagenet_weights_load_by_their_public_names(tmp_path: Path) -> None:
    state = imagenet_state()
    torch.save(state, tmp_path / "imagenet.pth")
    network = load_network(read_checkpoint(tmp_path / "imagenet.pth"), "small_gem_neck").state_dict()
    assert all(torch.equal(network[name], weight) for name, weight in state.items() if not name.startswith("fc."))
    assert network["pooling.power"].item() == 3.0
    assert not network["neck.bias"].any()


@pytest.mark.usefixtures("small_names")
def test_a_checkpoint_without_what_was_learned_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ours.pt", small_resnet())
    with pytest.raises(CheckpointError, match=r"5 missing \(pooling.power, neck.weight"):
        load_network(read_checkpoint(tmp_path / "ours.pt"), "small_gem_neck")


@pytest.mark.usefixtures("small_names")
def test_what_needs_an_osnet_refuses_a_resnet(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ours.pt", small_resnet())
    with pytest.raises(CheckpointError, match="holds a small, wanted an OSNet"):
        load_osnet(read_checkpoint(tmp_path / "ours.pt"))


def test_generalised_mean_by_hand() -> None:
    # Cubes of 1 and 2 have the mean 4.5; of zeros nothing is left.
    feats = torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]]])
    pooled = GeneralisedMeanPool()(feats)
    assert pooled[0].tolist() == pytest.approx([4.5 ** (1 / 3), 0.0], abs=1e-5)


def test_generalised_mean_lies_between_mean_and_maximum_and_learns_its_power() -> None:
    pool, feats = GeneralisedMeanPool(), torch.rand(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    pooled = pool(feats)
    assert (feats.mean(dim=(2, 3)) <= pooled).all()
    assert (pooled <= feats.amax(dim=(2, 3))).all()
    assert torch.autograd.gradcheck(pool.double(), (feats,))
    pooled.sum().backward()
    assert pool.power.grad is not None
    assert pool.power.grad.item() > 0


def test_the_bias_of_a_neck_is_not_trained() -> None:
    network = small_resnet(neck=True)
    assert isinstance(network.neck, nn.BatchNorm1d)
    assert not network.neck.bias.requires_grad
    assert network.neck.weight.requires_grad


@VARIANTS
def test_folded_network_computes_from_crops_what_the_network_computes_from_images(pooling: Pooling, neck: bool) -> None:
    network: Network = small_resnet(pooling, neck=neck)
    with torch.inference_mode():
        wanted = network(images_of(crops(), torch.device("cpu")))
        folded = fold_for_inference(network)
        came = folded(torch.from_numpy(crops()))
    torch.testing.assert_close(came, wanted, atol=2e-4, rtol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())


@VARIANTS
def test_a_release_reproduces_the_network_in_both_precisions(pooling: Pooling, neck: bool, tmp_path: Path) -> None:
    description = ReleaseDescription(
        name="site", version="1", thresholds=Thresholds(match=0.5, how="chosen for tests"), provenance={}
    )
    release = export_release(small_resnet(pooling, neck=neck), tmp_path / "site", description)
    assert (release.manifest.architecture, release.manifest.dim) == ("small", 64)
    assert check_golden(OnnxEmbedder(load_release(release.folder), num_threads=1), release) > 0.9999
    half = tmp_path / "half.onnx"
    onnx.save(half_graph(onnx.load(release.model_path)), half)
    (release.folder / "model_fp16.onnx").write_bytes(half.read_bytes())
    came = OnnxEmbedder(release, precision="fp16", num_threads=1).embed(release.golden.crops)
    assert (came * release.golden.embeddings).sum(axis=1).min() > 0.999
