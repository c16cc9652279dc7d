"""Small but real releases for tests: a network of a few weights in the model graph that every release has."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from reid.embedding import normalise
from reid.release import (
    GOLDEN_FILE,
    MODEL_FILE,
    MODEL_FILES,
    TRAINABLE_FILE,
    WEIGHTS_FILE,
    Precision,
    Release,
    write_alignment,
    write_release,
)

DIM = 8


def tiny_model(*, dim: int = DIM, seed: int = 0) -> onnx.ModelProto:
    """uint8 (N, 256, 128, 3) -> float32 (N, dim): mean colour of 8 horizontal bands, mixed by random weights."""
    weight = np.random.default_rng(seed).standard_normal((24, dim)).astype(np.float32)
    shapes = {"split": [0, 8, 32 * 128, 3], "flat": [0, 24]}
    constants = [numpy_helper.from_array(np.array(shape, dtype=np.int64), name) for name, shape in shapes.items()]
    constants += [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([2]), "axis")]
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "split"], ["bands"]),
        helper.make_node("ReduceMean", ["bands", "axis"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "flat"], ["colours"]),
        helper.make_node("MatMul", ["colours", "weight"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 256, 128, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dim])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_tiny_release(folder: Path, *, seed: int = 0, version: str = "1", match: float = 0.9) -> Release:
    """Write and seal a release around `tiny_model`; another seed makes another space."""
    folder.mkdir(parents=True)
    onnx.save(tiny_model(seed=seed), folder / MODEL_FILE)
    (folder / WEIGHTS_FILE).write_bytes(b"not read by these tests")
    crops = np.random.default_rng(7).integers(0, 256, (2, 256, 128, 3), dtype=np.uint8)
    session = ort.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
    embeddings = normalise(session.run(None, {"crops": crops})[0])
    np.savez_compressed(folder / GOLDEN_FILE, crops=crops, embeddings=embeddings)
    values = {
        "name": "tiny",
        "version": version,
        "space": f"tiny-{version}-{seed}",
        "architecture": "bands",
        "dim": DIM,
        "thresholds": {"match": match, "how": "chosen for tests"},
        "provenance": {"data": "none"},
    }
    return write_release(folder, values)


def with_graphs(release: Release, **models: onnx.ModelProto) -> Release:
    """Seal a release again with more graphs, by precision."""
    for precision, model in models.items():
        onnx.save(model, release.folder / MODEL_FILES[cast("Precision", precision)])
    return write_release(release.folder, release.manifest.model_dump(exclude={"sha256"}))


def write_child_release(parent: Release, folder: Path, *, seed: int = 1, is_aligned: bool = True) -> Release:
    """A release that was made from another; aligned to it by a map that turns the numbers round."""
    release = write_tiny_release(folder, seed=seed, version=str(seed + 1))
    if is_aligned:
        write_alignment(folder, np.eye(DIM, dtype=np.float32)[:, ::-1])
    (folder / TRAINABLE_FILE).write_bytes(b"to train further from")
    values = release.manifest.model_dump(mode="json", exclude={"sha256"})
    return write_release(folder, {**values, "parent": parent.manifest.space})


def tiny_int8_model(*, seed: int = 0) -> onnx.ModelProto:
    """`tiny_model` with its weights in 8 bits, one scale for each output."""
    model = tiny_model(seed=seed)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    values = numpy_helper.to_array(weight)
    scales = np.abs(values).max(axis=0) / 127
    weight.CopyFrom(numpy_helper.from_array(np.round(values / scales).astype(np.int8), "weight_int8"))
    zeros = numpy_helper.from_array(np.zeros(len(scales), np.int8), "zeros")
    model.graph.initializer.extend([numpy_helper.from_array(scales, "scales"), zeros])
    node = helper.make_node("DequantizeLinear", ["weight_int8", "scales", "zeros"], ["weight"], axis=1)
    model.graph.node.insert(0, node)
    return model


def write_permuted_release(release: Release, folder: Path, *, seed: int, version: str) -> Release:
    """Write a release of the same network whose embeddings have their numbers in another order: another space."""
    model = onnx.load(release.model_path)
    order = np.random.default_rng(seed).permutation(release.manifest.dim)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("fc."):  # the last layer
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[order], tensor.name))
    folder.mkdir(parents=True)
    onnx.save(model, folder / MODEL_FILE)
    (folder / WEIGHTS_FILE).write_bytes(b"not read by these tests")
    golden = release.golden
    np.savez_compressed(folder / GOLDEN_FILE, crops=golden.crops, embeddings=golden.embeddings[:, order])
    values = release.manifest.model_dump(mode="json", exclude={"sha256"})
    return write_release(folder, {**values, "version": version, "space": f"permuted-{version}-{seed}"})
