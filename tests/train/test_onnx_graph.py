from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from fakes_network import seeded_osnet
from onnx import TensorProto

from train.fold import fold_for_inference
from train.images import images_of
from train.onnx_graph import build_graph, weights_of
from train.osnet import build_osnet


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return build_graph(seeded_osnet(num_classes=3))


def run(model: onnx.ModelProto, crops: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["embeddings"], {"crops": crops})[0])


def random_crops(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 256, 128, 3), dtype=np.uint8)


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_input_is_uint8_crops_and_output_float32_embeddings_of_any_count(model: onnx.ModelProto) -> None:
    (crops,), (embeddings,) = model.graph.input, model.graph.output
    assert (crops.name, shape_of(crops)) == ("crops", ["N", 256, 128, 3])
    assert crops.type.tensor_type.elem_type == TensorProto.UINT8
    assert (embeddings.name, shape_of(embeddings)) == ("embeddings", ["N", 512])
    assert embeddings.type.tensor_type.elem_type == TensorProto.FLOAT


def test_the_cast_comes_first_and_nothing_superfluous_is_in_the_graph(model: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[:4] == ["Cast", "Transpose", "Sub", "Conv"]
    assert not {"BatchNormalization", "Identity", "Constant", "Shape", "Reshape"} & set(kinds)


def test_batches_of_any_size_match_torch(model: onnx.ModelProto) -> None:
    network = seeded_osnet()
    for count in (1, 2, 5):
        crops = random_crops(count)
        with torch.inference_mode():
            wanted = network(images_of(crops, torch.device("cpu"))).numpy()
        np.testing.assert_allclose(run(model, crops), wanted, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["osnet_ibn_x0_25", "osnet_ain_x0_25"])
def test_instance_norms_are_exported_too(architecture: str) -> None:
    network, crops = seeded_osnet(architecture), random_crops(2)
    with torch.inference_mode():
        wanted = network(images_of(crops, torch.device("cpu"))).numpy()
    np.testing.assert_allclose(run(build_graph(network), crops), wanted, atol=5e-5, rtol=1e-4)


def test_every_initialiser_is_a_weight_under_its_parameter_name(model: onnx.ModelProto) -> None:
    wanted = fold_for_inference(seeded_osnet()).state_dict()
    came = weights_of(model)
    assert set(came) == set(wanted)
    assert all(np.array_equal(came[name], weight.numpy()) for name, weight in wanted.items())


def test_equal_weights_are_not_merged() -> None:
    # A fresh network is full of biases that are all zero.
    fresh = build_osnet("osnet_x0_25").eval()
    assert set(weights_of(build_graph(fresh))) == set(fold_for_inference(fresh).state_dict())


def test_same_weights_give_same_bytes(model: onnx.ModelProto) -> None:
    again = build_graph(seeded_osnet(num_classes=3))
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)
