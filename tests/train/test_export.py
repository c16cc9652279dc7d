from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import safetensors.numpy
from fakes_network import seeded_osnet

import train.export
import train.onnx_graph
from reid.embedder import OnnxEmbedder, check_golden
from reid.embedding import normalise
from reid.errors import ConfigError, ReleaseError, ReleaseMismatchError
from reid.preprocess import network_input, read_image
from reid.release import FILES, MANIFEST_FILE, Release, Thresholds, load_release
from reid.types import Box
from simulation.golden import golden_crops
from train.checkpoint import load_osnet, read_checkpoint
from train.export import ReleaseDescription, export_release
from train.images import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB


def description(name: str = "site", version: str = "1") -> ReleaseDescription:
    return ReleaseDescription(
        name=name,
        version=version,
        thresholds=Thresholds(match=0.7, how="chosen for tests"),
        provenance={"data": "none"},
        metrics={"mAP": 0.5},
        parent="older-space",
    )


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return export_release(seeded_osnet(num_classes=3), tmp_path_factory.mktemp("exported") / "site", description())


@pytest.fixture
def occupied(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds what looks like an older release."""
    for name in (*FILES, MANIFEST_FILE):
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / name).write_bytes(b"older")
    yield tmp_path / "site"
    assert [path.name for path in tmp_path.iterdir()] == ["site"], "a temporary folder was left"


def test_release_loads_and_passes_its_own_golden_check(release: Release) -> None:
    loaded = load_release(release.folder)
    assert check_golden(OnnxEmbedder(loaded, num_threads=1), loaded) > 0.99999


def test_manifest_says_what_was_described(release: Release) -> None:
    manifest = release.manifest
    assert (manifest.name, manifest.version, manifest.parent) == ("site", "1", "older-space")
    assert (manifest.architecture, manifest.dim, manifest.metrics) == ("osnet_x0_25", 512, {"mAP": 0.5})
    assert manifest.thresholds.match == 0.7


def test_golden_crops_are_rendered_and_their_embeddings_come_from_torch(release: Release) -> None:
    golden = release.golden
    np.testing.assert_array_equal(golden.crops, golden_crops(8))
    np.testing.assert_allclose(np.linalg.norm(golden.embeddings, axis=1), 1, atol=1e-5)


def test_weights_file_holds_the_initialisers(release: Release) -> None:
    weights = safetensors.numpy.load((release.folder / "weights.safetensors").read_bytes())
    assert {"conv1.conv.weight", "conv1.conv.bias", "fc.0.weight"} <= set(weights)
    assert all(weight.dtype == np.float32 for weight in weights.values())


def test_same_weights_give_the_same_model_and_space_and_others_do_not(release: Release, tmp_path: Path) -> None:
    again = export_release(seeded_osnet(num_classes=3), tmp_path / "again", description())
    other = export_release(seeded_osnet(seed=1), tmp_path / "other", description())
    assert again.model_path.read_bytes() == release.model_path.read_bytes()
    assert again.ref == release.ref
    assert other.ref.space != release.ref.space


def test_network_is_left_in_its_mode(tmp_path: Path) -> None:
    network = seeded_osnet().train()
    export_release(network, tmp_path / "site", description())
    assert network.training


def test_an_occupied_folder_is_refused_and_kept(occupied: Path) -> None:
    with pytest.raises(ReleaseError, match="is not empty: give another folder, or --force"):
        export_release(seeded_osnet(), occupied, description())
    assert (occupied / MANIFEST_FILE).read_bytes() == b"older"


def test_force_replaces_a_release(occupied: Path) -> None:
    assert export_release(seeded_osnet(), occupied, description(version="2"), force=True).ref.version == "2"


def test_force_never_deletes_what_no_export_wrote(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ReleaseError, match=r"thesis\.tex"):
        export_release(seeded_osnet(), tmp_path, description(), force=True)
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    with pytest.raises(ReleaseError, match="is a file"):
        export_release(seeded_osnet(), tmp_path / "site", description())


def test_nothing_appears_when_onnx_runtime_disagrees(occupied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.export, "build_graph", lambda network: train.onnx_graph.build_graph(seeded_osnet(seed=5)))
    with pytest.raises(ReleaseMismatchError, match="ONNX Runtime differs from torch"):
        export_release(seeded_osnet(), occupied, description(), force=True)
    assert (occupied / MANIFEST_FILE).read_bytes() == b"older"


@pytest.mark.parametrize(("name", "version"), [("a b", "1"), ("", "1"), ("site", "1/2")])
def test_names_that_are_no_file_names_are_refused(name: str, version: str) -> None:
    with pytest.raises(ConfigError, match=r"release (name|version)"):
        description(name, version)


@pytest.mark.data
def test_public_checkpoint_gives_a_release_that_agrees_with_the_public_onnx(data_root: Path, tmp_path: Path) -> None:
    weights = data_root / "osnet_x0_25"
    network = load_osnet(read_checkpoint(weights / "osnet_x0_25_msmt17.pth"), "osnet_x0_25")
    ours = OnnxEmbedder(export_release(network, tmp_path / "msmt17", description()), num_threads=1)
    public = ort.InferenceSession(str(weights / "osnet_x0_25_msmt17_matches_pth_dynbatch.onnx"))
    crops = market_crops(data_root, 32)
    images = crops[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255)
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB))
    wanted = normalise(public.run(None, {public.get_inputs()[0].name: (images - mean) / std})[0])
    np.testing.assert_allclose(ours.embed(crops), wanted, atol=1e-4)


def market_crops(data_root: Path, count: int) -> np.ndarray:
    """Crops as an edge makes them: whole pictures as boxes, through `reid.preprocess`."""
    paths = sorted((data_root / "market1501_train" / "bounding_box_train").rglob("*.jpg"))[:: 12936 // count][:count]
    frames = [read_image(path) for path in paths]
    return np.concatenate([network_input(frame, [Box(0, 0, frame.shape[1], frame.shape[0])]) for frame in frames])
