"""The model graph: one ONNX file that every back end of edge and server runs.

    crops       uint8 (N, 256, 128, 3) BGR, any N; what `reid.preprocess` makes
    embeddings  float32 (N, D), not normalised, since sums of squares overflow in FP16

The first node is the cast to float, because TensorRT refuses to transpose uint8. Weights are initialisers under their
parameter names, and there are no others, so that an engine can be refitted by name. The same weights give the same
bytes.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.jit._trace import TracerWarning

from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.types import FloatArray
from train.fold import fold_for_inference
from train.network import Network

INPUT = "crops"
OUTPUT = "embeddings"
OPSET = 17
"""The newest that TensorRT 8.6 parses."""
_BATCH_AXIS = "N"


def build_graph(network: Network) -> onnx.ModelProto:
    """Turn a network into the model graph.

    Args:
        network: Not folded; left as it is.

    Returns:
        A checked model; its initialisers carry the parameter names of the folded network.
    """
    folded = fold_for_inference(network)
    weights = {name: weight.numpy().copy() for name, weight in folded.state_dict().items()}
    # The exporter merges tensors of equal value (say, two zero biases), and one name of each pair would be lost. So the
    # graph is traced with weights that all differ, and gets the true ones afterwards.
    _scramble(folded)
    model = _trace(folded)
    _set_weights(model, weights)
    onnx.checker.check_model(model, full_check=True)
    return model


def weights_of(model: onnx.ModelProto) -> dict[str, FloatArray]:
    """The initialisers of a graph by name, in the order of the graph."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _scramble(network: Network) -> None:
    generator = torch.Generator().manual_seed(0)
    for weight in network.state_dict().values():
        weight.normal_(generator=generator)


def _trace(network: Network) -> onnx.ModelProto:
    crops = torch.zeros(2, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The newer exporter renames the weights and its graphs run slower. The shapes that this one takes as constant
        # are; and instance norm, which has no running statistics here, is the same in training and in test.
        for category in (DeprecationWarning, TracerWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message="ONNX export mode is set to TrainingMode.EVAL, but operator")
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            network,
            (crops,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: _BATCH_AXIS}, OUTPUT: {0: _BATCH_AXIS}},
        )
        return onnx.load(path)


def _set_weights(model: onnx.ModelProto, weights: dict[str, FloatArray]) -> None:
    names = [tensor.name for tensor in model.graph.initializer]
    assert sorted(names) == sorted(weights), f"the exporter renamed weights: {sorted(set(names) ^ set(weights))}"
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights[tensor.name]), tensor.name))
