from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fakes_graph import small_graph
from fakes_network import seeded_osnet
from onnx import TensorProto, numpy_helper

from reid.embedding import normalise
from simulation.golden import golden_crops
from train.errors import QuantisationError
from train.half_graph import half_graph
from train.onnx_graph import build_graph, weights_of


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return small_graph()


def embed(model: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return normalise(session.run(["embeddings"], {"crops": golden_crops(4)})[0])


def types_of(values: object) -> list[int]:
    return [value.type.tensor_type.elem_type for value in values]


def test_input_and_output_stay_and_everything_between_is_half(model: onnx.ModelProto) -> None:
    half = onnx.shape_inference.infer_shapes(half_graph(model), strict_mode=True)
    assert types_of(half.graph.input) == [TensorProto.UINT8]
    assert types_of(half.graph.output) == [TensorProto.FLOAT]
    assert set(types_of(half.graph.value_info)) == {TensorProto.FLOAT16}


def test_the_cast_comes_first_and_one_more_at_the_end(model: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in half_graph(model).graph.node]
    assert kinds == [*(node.op_type for node in model.graph.node), "Cast"]
    assert kinds[0] == "Cast"


def test_weights_keep_their_names_and_are_rounded_to_half(model: onnx.ModelProto) -> None:
    wanted, came = weights_of(model), weights_of(half_graph(model))
    assert list(came) == list(wanted)
    for name, weight in came.items():
        np.testing.assert_array_equal(weight, wanted[name].astype(np.float16), strict=True)


def test_embeddings_are_those_of_fp32(model: onnx.ModelProto) -> None:
    cosines = np.sum(embed(half_graph(model)) * embed(model), axis=1)
    assert cosines.min() > 0.9999


def test_instance_norm_sums_its_squares_in_fp32() -> None:
    model = small_graph(has_instance_norm=True)
    half = onnx.shape_inference.infer_shapes(half_graph(model), strict_mode=True)
    types = {value.name: value.type.tensor_type.elem_type for value in half.graph.value_info}
    (norm,) = [node for node in half.graph.node if node.op_type == "InstanceNormalization"]
    assert [types[name] for name in (norm.input[0], norm.output[0])] == [TensorProto.FLOAT] * 2
    assert weights_of(half)["norm.weight"].dtype == np.float32
    assert np.sum(embed(half) * embed(model), axis=1).min() > 0.9999


@pytest.mark.parametrize("architecture", ["osnet_x0_25", "osnet_ain_x0_25"])
def test_the_networks_are_half_throughout(architecture: str) -> None:
    model = build_graph(seeded_osnet(architecture))
    assert np.sum(embed(half_graph(model)) * embed(model), axis=1).min() > 0.9999


def test_a_weight_too_large_for_a_half_is_named(model: onnx.ModelProto) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(model)
    tensor = next(tensor for tensor in other.graph.initializer if tensor.name == "fc.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(tensor.dims, 7e4, np.float32), tensor.name))
    with pytest.raises(QuantisationError, match=r"weight fc\.bias reaches 7e\+04, and a half ends at 65504"):
        half_graph(other)
