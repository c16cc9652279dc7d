from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from releases import tiny_model, with_graphs, write_tiny_release

from reid.release import Release, load_release
from reid.types import UInt8Array
from train import inherited_graphs
from train.errors import QuantisationError
from train.inherited_graphs import inherit_graphs

CROPS = np.random.default_rng(0).integers(0, 256, (4, 256, 128, 3), dtype=np.uint8)


@pytest.fixture
def child(tmp_path: Path) -> Release:
    return write_tiny_release(tmp_path / "child", seed=1)


def parent_with(folder: Path, *precisions: str) -> Release:
    return with_graphs(write_tiny_release(folder), **dict.fromkeys(precisions, tiny_model()))


def test_a_child_has_the_graphs_of_its_parent(tmp_path: Path, child: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def quantised(path: Path, crops: UInt8Array) -> object:
        seen.append(len(crops))
        return tiny_model(seed=1)

    monkeypatch.setattr(inherited_graphs, "int8_graph", quantised)
    made = inherit_graphs(child, parent_with(tmp_path / "parent", "int8"), CROPS)
    assert made.precisions == ("fp32", "int8")
    assert load_release(child.folder).manifest.space == child.manifest.space
    assert seen == [4]


def test_a_graph_that_finds_others_is_left_out(tmp_path: Path, child: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inherited_graphs, "int8_graph", lambda path, crops: tiny_model(seed=2))
    made = inherit_graphs(child, parent_with(tmp_path / "parent", "int8"), CROPS)
    assert made.precisions == ("fp32",)
    assert "model_int8.onnx" not in made.manifest.sha256


def test_a_graph_that_cannot_be_made_is_left_out(
    tmp_path: Path, child: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: object) -> object:
        raise QuantisationError("a weight is too large")

    monkeypatch.setattr(inherited_graphs, "half_graph", refuse)
    made = inherit_graphs(child, parent_with(tmp_path / "parent", "fp16"), CROPS)
    assert made.precisions == ("fp32",)


def test_a_parent_without_further_graphs_leaves_the_release_alone(tmp_path: Path, child: Release) -> None:
    before = (child.folder / "manifest.json").stat().st_mtime_ns
    assert inherit_graphs(child, parent_with(tmp_path / "parent"), CROPS) is child
    assert (child.folder / "manifest.json").stat().st_mtime_ns == before
