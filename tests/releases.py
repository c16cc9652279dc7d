"""Small but real releases for tests: a network of a few weights in the model graph that every release has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from reid.embedding import normalise
from reid.release import GOLDEN_FILE, MODEL_FILE, WEIGHTS_FILE, Release, write_release

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
