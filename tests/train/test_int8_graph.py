from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fakes_graph import small_graph
from fakes_network import seeded_osnet
from onnx import TensorProto, numpy_helper

from reid.embedding import normalise
from simulation.golden import golden_crops
from train.int8_graph import KEPT_FLOAT, int8_graph
from train.onnx_graph import build_graph, weights_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    onnx.save(small_graph(), path)
    return path


@pytest.fixture(scope="module")
def quantised(path: Path) -> onnx.ModelProto:
    return int8_graph(path, golden_crops(8))


def constants_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def embed(model: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return normalise(session.run(["embeddings"], {"crops": golden_crops(4)})[0])


def test_input_and_output_stay_and_the_cast_comes_first(quantised: onnx.ModelProto) -> None:
    (crops,), (embeddings,) = quantised.graph.input, quantised.graph.output
    assert (crops.name, crops.type.tensor_type.elem_type) == ("crops", TensorProto.UINT8)
    assert (embeddings.name, embeddings.type.tensor_type.elem_type) == ("embeddings", TensorProto.FLOAT)
    assert [node.op_type for node in quantised.graph.node if "crops" in node.input] == ["Cast"]


def test_weights_and_biases_keep_their_names_and_values(path: Path, quantised: onnx.ModelProto) -> None:
    came = constants_of(quantised)
    for name, weight in weights_of(onnx.load(path)).items():
        np.testing.assert_array_equal(came[name], weight, strict=True)


def test_pointwise_layers_of_osnet_read_quantised_numbers_and_what_loses_most_stays_float(tmp_path: Path) -> None:
    onnx.save(build_graph(seeded_osnet()), tmp_path / "osnet.onnx")
    nodes = int8_graph(tmp_path / "osnet.onnx", golden_crops(1)).graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    layers = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    kept = [layer.name for layer in layers if KEPT_FLOAT.search(layer.name)]
    quantised = [layer for layer in layers if layer.name not in kept]
    assert {"/conv1/conv/Conv", "/conv2/conv2.1/conv3/conv/Conv", "/conv4/conv4.1/gate/fc1/Conv"} <= set(kept)
    assert "/conv3/conv3.0/conv2a/conv2/Conv" in kept
    assert "/conv3/conv3.0/conv2a/conv1/Conv" not in kept
    assert (len(kept), len(quantised)) == (135, 53)
    assert {makers[name] for layer in quantised for name in layer.input[:2]} == {"DequantizeLinear"}


def test_zero_points_are_zero_and_signed_as_tensorrt_wants_them(quantised: onnx.ModelProto) -> None:
    constants = constants_of(quantised)
    zeros = [constants[node.input[2]] for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    assert {zero.dtype for zero in zeros} == {np.dtype(np.int8)}
    assert not any(zero.any() for zero in zeros)


def test_weights_have_a_scale_for_each_output(quantised: onnx.ModelProto) -> None:
    constants = constants_of(quantised)
    quantisers = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    scales = {node.input[0]: constants[node.input[1]] for node in quantisers}
    assert scales["conv1.weight"].shape == (6,)
    assert scales["fc.weight"].shape == (8,)


def test_embeddings_come_near_those_of_fp32_but_are_not_the_same(path: Path, quantised: onnx.ModelProto) -> None:
    cosines = np.sum(embed(quantised) * embed(onnx.load(path)), axis=1)
    assert 0.98 < cosines.min() < 0.99999


def test_the_same_crops_give_the_same_graph_and_nothing_is_printed(
    path: Path, quantised: onnx.ModelProto, capsys: pytest.CaptureFixture[str]
) -> None:
    again = int8_graph(path, golden_crops(8))
    assert again.SerializeToString(deterministic=True) == quantised.SerializeToString(deterministic=True)
    assert capsys.readouterr() == ("", "")
