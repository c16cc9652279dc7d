"""The builder on the real TensorRT that is installed: TensorRT-RTX builds on a machine without a GPU too."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from releases import tiny_model

from edge.backends.tensorrt.builder import BatchProfile, BuildSpec, build_engine, graph_precision
from edge.backends.tensorrt.cache import EngineCache
from edge.backends.tensorrt.module import load_tensorrt
from edge.backends.tensorrt.plans import NO_DEVICE, PlanSource
from edge.errors import BackendError
from reid.errors import ConfigError
from reid.release import load_release
from train.half_graph import half_graph

SHIPPED = Path(__file__).parents[2] / "models" / "osnet_x0_25_default"
CROPS = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 256, 128, 3])


@pytest.fixture(scope="module")
def tensorrt():
    try:
        return load_tensorrt()
    except BackendError as error:
        pytest.skip(str(error))


def build(tensorrt, model, precision="fp32", **options):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return build_engine(tensorrt, content, BuildSpec(precision, BatchProfile(1, 2, 4)), name="model.onnx", **options)


def test_the_shipped_release_is_built_in_fp32(tensorrt, tmp_path):
    plans = PlanSource(tensorrt, NO_DEVICE, EngineCache(tmp_path / "engines"))
    spec = BuildSpec("fp32")
    plan = plans.get(load_release(SHIPPED).model_path, spec)
    assert plan.summary["layers"] > 300
    assert plan.summary["results in float"] > 300
    assert plans.get(SHIPPED / "model.onnx", spec).content == plan.content


@pytest.mark.parametrize("precision", ["fp16", pytest.param("int8", marks=pytest.mark.slow)])
def test_the_shipped_release_is_built_in_its_other_precisions(tensorrt, precision):
    release = load_release(SHIPPED)
    if precision not in release.precisions:
        pytest.skip(f"the shipped release has no graph in {precision}")
    built = build(tensorrt, release.model_path_in(precision).read_bytes(), precision)
    wanted = {"fp16": "results in half", "int8": "results in int8"}[precision]
    assert built.summary[wanted] > 100


def test_a_graph_in_half_precision_gives_an_engine_in_half(tensorrt):
    built = build(tensorrt, half_graph(tiny_model()), "fp16")
    assert built.summary["results in half"] == 6  # all but the last cast
    assert built.summary["results in float"] == 1


def test_a_graph_with_quantised_weights_gives_an_engine_in_int8(tensorrt):
    built = build(tensorrt, _quantised(), "int8")
    assert built.summary["results in int8"] == 2


def test_progress_is_told(tensorrt):
    told = []
    build(tensorrt, tiny_model(), watch=lambda *step: told.append(step))
    assert all(0 <= done <= of for _, done, of in told)
    assert len({phase for phase, *_ in told}) > 3


@pytest.mark.parametrize("content", [b"junk", (SHIPPED / "model.onnx").read_bytes()[:5000]], ids=["junk", "truncated"])
def test_a_corrupt_graph_is_named(tensorrt, content):
    with pytest.raises(BackendError, match=r"model\.onnx cannot be read by .*Failed to parse the ONNX model"):
        build(tensorrt, content)


def test_the_first_node_that_is_not_known_is_named(tensorrt):
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Bogus", ["pixels"], ["odd"], name="odd_one"),
        helper.make_node("Det", ["odd"], ["embeddings"], name="odd_two"),
    ]
    with pytest.raises(BackendError, match="node 1, Bogus 'odd_one'"):
        build(tensorrt, _graph(nodes, ["n", 8]))


def test_a_node_that_refuses_its_input_is_named_with_the_reason(tensorrt):
    nodes = [
        helper.make_node("Transpose", ["crops"], ["turned"], perm=[0, 3, 1, 2], name="turn"),
        helper.make_node("Cast", ["turned"], ["embeddings"], to=TensorProto.FLOAT, name="cast"),
    ]
    with pytest.raises(BackendError, match=r"node 0, Transpose 'turn': .*type UInt8"):
        build(tensorrt, _graph(nodes, ["n", 3, 256, 128]))


def test_an_input_with_more_free_than_its_batch_is_refused(tensorrt):
    model = tiny_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "h"
    with pytest.raises(BackendError, match=r"input crops is \(-1, -1, 128, 3\), only the batch may be free"):
        build(tensorrt, model)


def test_a_fixed_batch_needs_no_profile(tensorrt):
    model = tiny_model()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    assert build(tensorrt, model).summary["layers"] > 0


def test_a_build_that_fails_says_why_and_the_next_one_works(tensorrt):
    with pytest.raises(BackendError, match=r"cannot build model\.onnx in fp32: .*must have at least one output"):
        build(tensorrt, b"")
    assert build(tensorrt, tiny_model()).plan


@pytest.mark.parametrize("numbers", [(0, 1, 2), (4, 2, 8), (1, 8, 4), (1, 8, 2000)])
def test_a_profile_out_of_order_or_range_is_refused(numbers):
    with pytest.raises(ConfigError, match="wanted LEAST,BEST,MOST in rising order, from 1 to 1024"):
        BatchProfile(*numbers)


def test_bf16_is_of_other_back_ends(tensorrt):
    with pytest.raises(BackendError, match="bf16 is of other back ends"):
        graph_precision(tensorrt, "bf16")


def _graph(nodes, output_shape, constants=()):
    outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, output_shape)]
    graph = helper.make_graph(nodes, "odd", [CROPS], outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _quantised():
    """The mean colour of each crop, times weights through Q/DQ nodes."""
    tensors = {"scale": (TensorProto.FLOAT, [], [1.0]), "zero": (TensorProto.INT8, [], [0])}
    constants = [helper.make_tensor(name, *rest) for name, rest in tensors.items()]
    constants += [
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("weight", TensorProto.INT8, [3, 8], [number % 7 for number in range(24)]),
    ]
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["colours"], keepdims=0),
        helper.make_node("QuantizeLinear", ["colours", "scale", "zero"], ["coloursQ"]),
        helper.make_node("DequantizeLinear", ["coloursQ", "scale", "zero"], ["coloursD"]),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["weightD"]),
        helper.make_node("MatMul", ["coloursD", "weightD"], ["embeddings"]),
    ]
    model = _graph(nodes, ["n", 8], constants)
    onnx.checker.check_model(model)
    return model
