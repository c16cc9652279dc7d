"""The model graph in half precision: what a strongly typed engine builder takes for FP16.

The graph stays what it is: crops in as uint8, the cast first, embeddings out as float32, weights under their names, so
that an engine in FP16 can be refitted too. Everything between is float16, save the operations that sum squares.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from train.errors import QuantisationError

KEPT_IN_FP32 = frozenset({"InstanceNormalization"})
"""Sums of squares over a picture pass the largest half, 65,504. Plain means do not: see `docs/log.md`."""


def half_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn a model graph into half precision.

    Args:
        model: As `train.onnx_graph` makes it; left as it is.

    Returns:
        A checked model with the same input, output and names of weights.

    Raises:
        QuantisationError: A weight is too large for a half.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    del graph.value_info[:]  # said what type everything between had
    kept = {name for node in graph.node if node.op_type in KEPT_IN_FP32 for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_halved(tensor))
    nodes = [converted for node in graph.node for converted in _converted(node)]
    nodes += [_output_cast(nodes, output.name) for output in graph.output]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half


def _halved(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        raise QuantisationError(
            f"weight {tensor.name} reaches {largest:.3g}, and a half ends at 65504: this network cannot be run in fp16"
        )
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _halved_constant(node: NodeProto) -> NodeProto:
    value = helper.get_node_attr_value(node, "value")
    if isinstance(value, TensorProto) and value.data_type == TensorProto.FLOAT:
        return helper.make_node("Constant", [], list(node.output), name=node.name, value=_halved(value))
    return node


def _converted(node: NodeProto) -> list[NodeProto]:
    """What stands for a node: casts to half instead of float, and casts around what stays in fp32."""
    if node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT:
        return [_cast(node.input[0], node.output[0], TensorProto.FLOAT16)]
    if node.op_type == "Constant":
        return [_halved_constant(node)]
    if node.op_type not in KEPT_IN_FP32:
        return [node]
    source, target = node.input[0], node.output[0]
    node.input[0], node.output[0] = f"{target}_fp32_input", f"{target}_fp32"
    before = _cast(source, node.input[0], TensorProto.FLOAT)
    return [before, node, _cast(node.output[0], target, TensorProto.FLOAT16)]


def _output_cast(nodes: list[NodeProto], output: str) -> NodeProto:
    """Rename what comes out in half precision; the cast that gives the output its old name and type."""
    maker = next(node for node in nodes if output in node.output)
    maker.output[list(maker.output).index(output)] = f"{output}_fp16"
    return _cast(f"{output}_fp16", output, TensorProto.FLOAT)


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"Cast_{target}", to=to)
