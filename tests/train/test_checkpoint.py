from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes_network import seeded_osnet
from torch import Tensor

from train.checkpoint import load_osnet, read_checkpoint, save_checkpoint
from train.errors import CheckpointError
from train.osnet import OSNet


def public_state(architecture: str = "osnet_x0_25", *, num_classes: int = 9) -> dict[str, Tensor]:
    return seeded_osnet(architecture, num_classes=num_classes).state_dict()


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "weights.pth")
    return folder / "weights.pth"


def assert_same_features(first: OSNet, second: OSNet) -> None:
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(first.eval()(images), second.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: state, id="bare"),
        pytest.param(lambda state: {"state_dict": state, "epoch": 150}, id="wrapped"),
        pytest.param(lambda state: {f"module.{name}": weight for name, weight in state.items()}, id="data-parallel"),
        pytest.param(
            lambda state: {"state_dict": {f"module.{name}": weight for name, weight in state.items()}}, id="both"
        ),
    ],
)
def test_public_layouts_load(wrap: Any, tmp_path: Path) -> None:
    network = load_osnet(read_checkpoint(saved(wrap(public_state()), tmp_path)), "osnet_x0_25")
    assert network.classifier is None
    assert_same_features(network, seeded_osnet(num_classes=9))


def test_classifier_is_kept_with_its_number_of_classes_when_asked(tmp_path: Path) -> None:
    state = public_state(num_classes=1041)
    network = load_osnet(read_checkpoint(saved(state, tmp_path)), "osnet_x0_25", keep_classifier=True)
    assert network.classifier is not None
    assert torch.equal(network.classifier.weight, state["classifier.weight"])


def test_checkpoint_without_classifier_or_batch_counters_loads(tmp_path: Path) -> None:
    state = {name: weight for name, weight in public_state(num_classes=0).items() if "num_batches" not in name}
    network = load_osnet(read_checkpoint(saved(state, tmp_path)), "osnet_x0_25")
    assert_same_features(network, seeded_osnet())


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    state = {name: weight.half() if weight.is_floating_point() else weight for name, weight in public_state().items()}
    network = load_osnet(read_checkpoint(saved(state, tmp_path)), "osnet_x0_25")
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_missing_unexpected_and_misshapen_keys_are_all_named(tmp_path: Path) -> None:
    state = public_state()
    del state["conv5.bn.bias"]
    state["head.weight"] = torch.zeros(3)
    state["fc.0.bias"] = torch.zeros(256)
    faults = r"1 missing \(conv5.bn.bias\); 1 unexpected \(head.weight\); 1 of another shape \(fc.0.bias \(256,\), "
    with pytest.raises(CheckpointError, match=faults):
        load_osnet(read_checkpoint(saved(state, tmp_path)), "osnet_x0_25")


@pytest.mark.parametrize("architecture", ["osnet_x0_5", "osnet_ibn_x0_25", "osnet_ain_x0_25"])
def test_wrong_architecture_suggests_the_one_that_fits(architecture: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"does not fit osnet_x0_25: .*it fits {architecture}$"):
        load_osnet(read_checkpoint(saved(public_state(architecture), tmp_path)), "osnet_x0_25")


def test_a_foreign_network_fits_nothing(tmp_path: Path) -> None:
    state = {"layer1.weight": torch.zeros(2, 2), "classifier.weight": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match="fits no network"):
        load_osnet(read_checkpoint(saved(state, tmp_path)), "osnet_x0_25")


def test_public_checkpoint_needs_an_architecture_and_gets_one_suggested(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not say its architecture.*it fits osnet_x0_25"):
        load_osnet(read_checkpoint(saved(public_state(), tmp_path)))


def test_ours_comes_back_with_its_architecture_classifier_and_training_state(tmp_path: Path) -> None:
    network = seeded_osnet("osnet_ain_x0_25", num_classes=4)
    save_checkpoint(tmp_path / "last.pt", network, training={"epoch": 3, "optimiser": {"moments": torch.ones(2)}})
    checkpoint = read_checkpoint(tmp_path / "last.pt")
    assert checkpoint.architecture == "osnet_ain_x0_25"
    assert checkpoint.training["epoch"] == 3
    loaded = load_osnet(checkpoint, keep_classifier=True)
    assert_same_features(loaded, network)
    assert loaded.classifier is not None
    assert loaded.classifier.out_features == 4


def test_saving_leaves_the_old_file_when_it_cannot_be_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", seeded_osnet())
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(FileNotFoundError):
        save_checkpoint(tmp_path / "gone" / "last.pt", seeded_osnet(seed=1))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(tmp_path / "last.pt", seeded_osnet(seed=1), training={"bad": lambda: None})
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran-code"),)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        read_checkpoint(saved({"state_dict": Malicious()}, tmp_path))
    assert not Path("ran-code").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param([1, 2], "holds a list", id="list"),
        pytest.param({}, "holds no weights", id="empty"),
        pytest.param({"state_dict": 3}, "'state_dict' is a int", id="no-dict"),
        pytest.param({"model": {"a": torch.zeros(1)}}, "model are not tensors", id="nested"),
        pytest.param({"conv1.conv.weight": torch.tensor([float("nan")])}, "not finite in conv1.conv.weight", id="nan"),
        pytest.param({"format": 2, "state_dict": {}}, "format 2, this Osprey reads 1", id="newer"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_its_reason(content: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=match):
        read_checkpoint(saved(content, tmp_path))


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 half a zip file"])
def test_damaged_files_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.pth cannot be read"):
        read_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(public_state(), tmp_path)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth is missing"):
        read_checkpoint(tmp_path / "nowhere.pth")
