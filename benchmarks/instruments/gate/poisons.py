"""Candidates for the gate: releases made bad on purpose, each in one way, and good ones sealed as children of a parent.

random           weights as they are before any training
channels         red and blue exchanged in the first layer, and golden embeddings made with it
export           the same in the graph alone: golden embeddings are of the right network
worse            the parent with 2 % of noise on every weight
unchanged        the parent itself under another name
shuffled         trained from the parent with pseudo labels dealt out at random
cameras          trained from the parent with the camera as the label
collapsed        trained from the parent for too long, at ten times the rate, with clusters thrown together
overflow         a good network whose features pass the largest half
misaligned       a good network with an alignment that leads nowhere
damaged          a good release with one byte changed
"""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from reid.alignment import fit_alignment
from reid.release import MODEL_FILE, MODEL_FILES, Release, Thresholds, load_release, write_alignment, write_release
from reid.types import FloatArray
from train.adapt import Adapter
from train.checkpoint import load_osnet
from train.embed import embed_crops
from train.export import ReleaseDescription, export_release
from train.half_graph import half_graph
from train.network import Network
from train.osnet import OSNet
from train.pseudo_labels import PseudoLabels
from train.recipes.adaptation import cluster_contrast
from train.run_folder import RunFolder
from train.site import SiteCrops
from train.start import read_start

Mislabel = Literal["shuffled", "cameras", "collapsed"]
MISLABELS: tuple[Mislabel, ...] = get_args(Mislabel)
_NOISE = 0.02
_SWELLING = 2.0**15
"""The largest half is 65,504, and the first layer reaches a few units on any picture."""
_NUM_LUMPS = 4
_NUM_IDS = 8
_FIRST_WEIGHT = "conv1.conv.weight"
_FAST = 10.0


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Makes children of one parent.

    Attributes:
        parent: A release with trainable weights.
        site: Crops to train and to align on; nothing held out.
        folder: Where children go, a folder for each name; one that is there is taken as it is.
        num_steps: Steps of a training.
        num_aligned: Crops that an alignment is fitted on, the first ones.
        threshold: Of every child: the gate is to judge networks here, not their calibration.
    """

    parent: Release
    site: SiteCrops
    folder: Path
    num_steps: int
    num_aligned: int = 1500
    threshold: float = 0.6

    def child(self, name: str, make: Callable[[], Network]) -> Path:
        """Folder of a sealed child of the network that `make` makes, with a graph in half precision and aligned."""
        folder = self.folder / name
        if not folder.exists():
            network = make()
            self._seal(network, folder, fit_alignment(self._embedded_by_parent, self._embed(network)))
        return folder

    def poisons(self, good: Path, trainings: Sequence[Mislabel] = MISLABELS) -> Mapping[str, Path]:
        """Every poisoned child by name.

        Args:
            good: Folder of a good child, which some are made of.
            trainings: Which of those are made that take a training.
        """
        makers: dict[str, Callable[[], Network]] = {
            "random": lambda: _fresh(network_of(self.parent)),
            "channels": lambda: _exchanged(network_of(self.parent)),
            "worse": lambda: with_noise(network_of(self.parent), share=_NOISE),
            "unchanged": lambda: network_of(self.parent),
            "overflow": lambda: overflowing(load_osnet(read_start(good).checkpoint)),
            **{name: partial(self._mistrained, name) for name in trainings},
        }
        made = {name: self.child(name, make) for name, make in makers.items()}
        made["export"] = self._changed(good, "export", _exchange_in_graph)
        made["misaligned"] = self._changed(good, "misaligned", _turn_alignment)
        made["damaged"] = self._changed(good, "damaged", lambda folder: None)
        _damage(made["damaged"] / MODEL_FILE)
        return made

    @cached_property
    def _embedded_by_parent(self) -> FloatArray:
        return self._embed(network_of(self.parent))

    def _embed(self, network: Network) -> FloatArray:
        return embed_crops(network, self.site.crops[: self.num_aligned], precision="fp32")

    def _seal(self, network: Network, folder: Path, alignment: FloatArray) -> None:
        description = ReleaseDescription(
            name=self.parent.manifest.name,
            version=folder.name,
            thresholds=Thresholds(match=self.threshold, how="chosen for the benchmark of the gate"),
            provenance={"data": "benchmarks.gate"},
            parent=self.parent.manifest.space,
        )
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        release = export_release(network, unfinished, description)
        onnx.save(half_graph(onnx.load(release.model_path)), unfinished / MODEL_FILES["fp16"])
        write_alignment(unfinished, alignment)
        write_release(unfinished, release.manifest.model_dump(exclude={"sha256"}))
        unfinished.rename(folder)

    def _changed(self, good: Path, name: str, change: Callable[[Path], None]) -> Path:
        """A copy of a good child with one file changed, sealed again under its own name."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        release = load_release(folder)
        change(folder)
        values = release.manifest.model_dump(exclude={"sha256"})
        write_release(folder, {**values, "version": name, "space": f"{release.ref.space}-{name}"})
        return folder

    def _mistrained(self, mislabel: Mislabel) -> Network:
        num_labels = {"shuffled": _NUM_IDS, "cameras": len(np.unique(self.site.camids)), "collapsed": _NUM_LUMPS}
        settings = cluster_contrast()
        rate = settings.optimiser.peak_lr * (_FAST if mislabel == "collapsed" else 1.0)
        settings = settings.model_copy(
            update={
                "init": str(self.parent.folder),
                "num_epochs": 1,
                "num_iterations": self.num_steps,
                "num_ids": min(_NUM_IDS, num_labels[mislabel]),
                "optimiser": settings.optimiser.model_copy(update={"peak_lr": rate}),
            }
        )
        run = self.folder / f"{mislabel}.run"
        shutil.rmtree(run, ignore_errors=True)
        adapter = _Mislabelled(settings, self.site, RunFolder(run, settings.model_dump(mode="json")))
        adapter.mislabel = mislabel
        adapter.run(threading.Event())
        return adapter.network


class _Mislabelled(Adapter):
    """An adaptation whose pseudo labels are wrong."""

    mislabel: Mislabel = "shuffled"

    @property
    def network(self) -> Network:
        """As trained."""
        return copy.deepcopy(self._learner.kept)

    def cluster(self, feats: FloatArray) -> PseudoLabels:
        """Labels that are right, spoilt."""
        found = super().cluster(feats)
        labels = found.labels_N
        if self.mislabel == "shuffled":
            return replace(found, labels_N=np.random.default_rng(0).permutation(labels))
        if self.mislabel == "cameras":
            return replace(found, labels_N=np.unique(self._site.camids, return_inverse=True)[1].astype(np.int64))
        return replace(found, labels_N=np.where(labels >= 0, labels % _NUM_LUMPS, labels))


def network_of(release: Release) -> OSNet:
    """The network of a release, as it was trained."""
    return load_osnet(read_start(release.folder).checkpoint)


def with_noise(network: OSNet, *, share: float) -> OSNet:
    """Add noise to all weights of layers, as large as a share of their own spread; the same noise every time."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.add_(share * weight.std() * torch.randn(weight.shape, generator=generator))
    return network


def _fresh(network: OSNet) -> OSNet:
    torch.manual_seed(0)
    return OSNet(network.architecture)


def _exchanged(network: OSNet) -> OSNet:
    weight = network.conv1.conv.weight
    with torch.no_grad():
        weight.copy_(weight.flip(1))
    return network


def overflowing(network: OSNet) -> OSNet:
    """Make the first layer's output too large for a half and the layers after it as much smaller: the same in fp32."""
    stem: Any = network.conv1
    block: Any = network.conv2[0]
    with torch.no_grad():
        for layer in (stem.bn.weight, stem.bn.bias):
            layer.mul_(_SWELLING)
        for layer in (block.conv1.conv.weight, block.downsample.conv.weight):
            layer.div_(_SWELLING)
    return network


def _exchange_in_graph(folder: Path) -> None:
    model = onnx.load(folder / MODEL_FILE)
    first = next(tensor for tensor in model.graph.initializer if tensor.name == _FIRST_WEIGHT)
    exchanged = np.ascontiguousarray(numpy_helper.to_array(first)[:, ::-1])
    first.CopyFrom(numpy_helper.from_array(exchanged, _FIRST_WEIGHT))
    onnx.save(model, folder / MODEL_FILE)


def _turn_alignment(folder: Path) -> None:
    dim = load_release(folder).manifest.dim
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))
    write_alignment(folder, turned.astype(np.float32))


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
