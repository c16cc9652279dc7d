"""A model graph of the kind that `train.onnx_graph` makes, with one convolution: quick to quantise."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

DIM = 8
_CHANNELS = 6


def small_graph(*, seed: int = 0, has_instance_norm: bool = False) -> onnx.ModelProto:
    """uint8 (N, 256, 128, 3) -> float32 (N, 8): pixels about their mean, convolution, mean over the picture, Gemm."""
    rng = np.random.default_rng(seed)
    weights = {
        "pixel_mean": np.full((1, 3, 1, 1), 128.0),
        "conv1.weight": rng.normal(0, 0.01, (_CHANNELS, 3, 16, 16)),
        "conv1.bias": rng.normal(0, 0.1, _CHANNELS),
        "fc.weight": rng.normal(0, 1, (DIM, _CHANNELS)),
        "fc.bias": rng.normal(0, 0.1, DIM),
    }
    norm: list[NodeProto] = []
    if has_instance_norm:
        weights |= {"norm.weight": rng.uniform(0.5, 1.5, _CHANNELS), "norm.bias": rng.normal(0, 0.1, _CHANNELS)}
        norm = [
            helper.make_node("InstanceNormalization", ["convolved", "norm.weight", "norm.bias"], ["normed"], "norm")
        ]
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "pixel_mean"], ["centred"], "sub"),
        helper.make_node("Conv", ["centred", "conv1.weight", "conv1.bias"], ["convolved"], "conv", strides=[16, 16]),
        *norm,
        helper.make_node("Relu", ["normed" if has_instance_norm else "convolved"], ["active"], "relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["means"], "pool"),
        helper.make_node("Flatten", ["means"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["embeddings"], "gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 256, 128, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", DIM])],
        [numpy_helper.from_array(weight.astype(np.float32), name) for name, weight in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
