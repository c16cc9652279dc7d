from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fakes_network import seeded_osnet

from reid.errors import ReleaseError
from reid.files import sha256_of
from reid.release import Release, Thresholds
from train.checkpoint import load_osnet, save_checkpoint
from train.errors import CheckpointError
from train.export import ReleaseDescription, export_release
from train.osnet import OSNet
from train.start import read_start

THRESHOLDS = Thresholds(match=0.7, how="chosen for tests")


@pytest.fixture(scope="module")
def network() -> OSNet:
    network: OSNet = seeded_osnet("osnet_ain_x0_25", num_classes=3)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def release(network: OSNet, tmp_path: Path) -> Release:
    description = ReleaseDescription(name="site", version="1", thresholds=THRESHOLDS, provenance={})
    return export_release(network, tmp_path / "site", description)


def test_a_release_gives_back_the_weights_it_was_made_of(network: OSNet, release: Release) -> None:
    start = read_start(release.folder)
    again = load_osnet(start.checkpoint)
    wanted = {name: weight for name, weight in network.state_dict().items() if not name.startswith("classifier.")}
    assert again.architecture == network.architecture
    assert again.state_dict().keys() == wanted.keys()
    assert all(torch.equal(weight, wanted[name]) for name, weight in again.state_dict().items())
    assert (start.release, start.sha256) == (release, sha256_of(release.trainable_path))


def test_a_checkpoint_has_no_parent(network: OSNet, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", network)
    start = read_start(tmp_path / "c.pt")
    assert start.release is None
    assert start.sha256 == sha256_of(tmp_path / "c.pt")


def test_a_release_without_trainable_weights_is_refused(release: Release) -> None:
    release.trainable_path.unlink()
    with pytest.raises(ReleaseError, match=r"has no trainable\.safetensors"):
        read_start(release.folder)


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no release"):
        read_start(tmp_path)


def test_trainable_weights_that_are_no_safetensors_are_refused(release: Release) -> None:
    release.trainable_path.write_bytes(b"anything")
    path = release.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"]["trainable.safetensors"] = sha256_of(release.trainable_path)
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        read_start(release.folder)
