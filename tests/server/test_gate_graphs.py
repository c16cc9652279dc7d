from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes_gate import person_crops, seal_again, weights, write_bands_release
from onnx import numpy_helper

from reid.embedder import OnnxEmbedder
from reid.release import ALIGNMENT_FILE, MODEL_FILE, MODEL_FILES, Release, load_release
from server.gate.graphs import check_graphs, check_manifest, check_speed
from server.gate.settings import GateSettings
from train.half_graph import half_graph

SETTINGS = GateSettings()
CROPS = person_crops(8, pid=1, seed=5)


@pytest.fixture
def parent(tmp_path: Path) -> Release:
    return write_bands_release(tmp_path / "1", distraction=1.0)


@pytest.fixture
def child(tmp_path: Path, parent: Release) -> Release:
    return write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)


def with_half_graph(release: Release) -> Release:
    onnx.save(half_graph(onnx.load(release.model_path)), release.folder / MODEL_FILES["fp16"])
    return seal_again(release)


def test_a_whole_child_has_no_fault(parent: Release, child: Release) -> None:
    assert check_manifest(parent, child, SETTINGS).is_passed


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"parent": "another"}, "its parent is another"),
        ({"space": "bands-1"}, "is its parent's"),
        ({"thresholds": {"match": 1.0, "how": "wrong"}}, "its threshold is 1.0"),
    ],
    ids=["parent", "space", "threshold"],
)
def test_a_wrong_manifest_is_a_reason(parent: Release, child: Release, changes: dict[str, object], fault: str) -> None:
    check = check_manifest(parent, seal_again(child, **changes), SETTINGS)
    assert not check.is_passed
    assert fault in check.reason


def test_a_child_without_an_alignment_is_refused(parent: Release, child: Release) -> None:
    (child.folder / ALIGNMENT_FILE).unlink()
    assert "it has no alignment" in check_manifest(parent, seal_again(child), SETTINGS).reason


def test_an_alignment_that_bends_is_refused(parent: Release, child: Release) -> None:
    np.savez(child.folder / ALIGNMENT_FILE, matrix=2 * np.eye(8, dtype=np.float32))
    check = check_manifest(parent, seal_again(child), SETTINGS)
    assert not check.is_passed
    assert "orthogonal" in check.reason


def test_a_child_needs_the_graphs_of_its_parent(parent: Release, child: Release) -> None:
    parent = with_half_graph(parent)
    assert "no graph in fp16" in check_manifest(parent, child, SETTINGS).reason
    assert check_manifest(parent, child, GateSettings(requires_precisions_of_parent=False)).is_passed


def test_every_graph_is_held_against_golden_crops_and_people(child: Release) -> None:
    checks = check_graphs(with_half_graph(child), CROPS, SETTINGS, num_threads=1)
    assert [check.name for check in checks] == ["golden_fp32", "golden_fp16", "range_fp16", "precision_fp16"]
    assert all(check.is_passed for check in checks)


def test_a_graph_that_computes_something_else_is_refused(child: Release) -> None:
    model = onnx.load(child.model_path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    exchanged = weights(distraction=0.2).reshape(8, 3, 8)[:, ::-1].reshape(24, 8)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(exchanged), "weight"))
    onnx.save(model, child.folder / MODEL_FILE)
    (check,) = check_graphs(seal_again(child), CROPS, SETTINGS, num_threads=1)
    assert not check.is_passed
    assert "golden crops come out at cosine" in check.reason


def test_a_candidate_cannot_lower_its_own_golden_bound(child: Release) -> None:
    lowered = seal_again(child, golden_cosine={"fp32": -1.0, "bf16": -1.0, "fp16": -1.0, "int8": -1.0})
    assert check_graphs(lowered, CROPS, SETTINGS, num_threads=1)[0].bound == SETTINGS.golden_cosines.fp32


def test_numbers_too_large_for_a_half_are_refused(child: Release) -> None:
    model = onnx.load(child.model_path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(weights(distraction=0.2) * 3000, "weight"))
    onnx.save(model, child.folder / MODEL_FILE)
    checks = {check.name: check for check in check_graphs(with_half_graph(child), CROPS, SETTINGS, num_threads=1)}
    assert checks["golden_fp32"].is_passed
    assert not checks["range_fp16"].is_passed


def test_an_engine_as_fast_as_the_parents_passes(parent: Release, child: Release) -> None:
    ours, its = OnnxEmbedder(parent, num_threads=1), OnnxEmbedder(load_release(child.folder), num_threads=1)
    check = check_speed(ours, its, CROPS, GateSettings(max_slowdown=100.0))
    assert check.is_passed
    assert check.value is not None
    assert check.value > 0
    assert not check_speed(ours, its, CROPS, GateSettings(max_slowdown=1e-6)).is_passed
