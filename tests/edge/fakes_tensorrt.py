"""A TensorRT whose engines are run by ONNX Runtime on the memory of a fake GPU.

A plan is a line of JSON and the graph.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from fakes_cuda import FakeGpu
from onnx import numpy_helper

from edge.backends.tensorrt.module import Messages, TensorRt

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64}
Mode = IntEnum("Mode", "INPUT OUTPUT")
Flag = IntEnum("Flag", "REFIT TF32 FP16 INT8")


class FakeTensorRt:
    """Stands for the module.

    Attributes:
        builds: What each build was told: the config's flags.
        loses_bias: Engines that can be refitted compute something else.
        refuses_refit: No engine can be built so that it can be refitted.
        refuses_plans: No engine can be opened.
        wrong_batch: A size in which engines compute something else.
    """

    def __init__(self, gpu: FakeGpu, *, is_strongly_typed: bool = True, has_parser_refitter: bool = True) -> None:
        self.gpu, self.messages = gpu, Messages()
        self.builds: list[set[Flag]] = []
        self.loses_bias = self.refuses_refit = self.refuses_plans = False
        self.activation_bytes, self.wrong_batch = 4096, 0
        networks = {"STRONGLY_TYPED": 1} if is_strongly_typed else {"EXPLICIT_BATCH": 0}
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**networks)
        self.BuilderFlag, self.TensorIOMode = Flag, Mode
        self.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
        self.PreviewFeature = SimpleNamespace(PROFILE_SHARING_0806=0)
        self.Builder = lambda _logger: _Builder(self)
        self.OnnxParser = lambda network, _logger: _Parser(network)
        self.Runtime = lambda _logger: SimpleNamespace(deserialize_cuda_engine=self._open)
        self.Refitter = lambda engine, _logger: _Refitter(engine)
        if is_strongly_typed:
            self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)
        self.Weights = lambda array: array
        if has_parser_refitter:
            self.OnnxParserRefitter = lambda refitter, _logger: _ParserRefitter(refitter)

    @staticmethod
    def nptype(dtype: Any) -> Any:
        return dtype

    def installed(self) -> TensorRt:
        return TensorRt(self, "tensorrt", "10.3.0", self.messages, None)

    def _open(self, plan: bytes) -> _Engine | None:
        if self.refuses_plans:
            self.messages.errors.append("The engine plan file is generated on an incompatible device")
            return None
        head, _, graph = plan.partition(b"\n")
        return _Engine(self, json.loads(head), graph)


class _Builder:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt

    def create_network(self, _flags: int) -> Any:
        return SimpleNamespace(graph=b"", num_layers=0, num_inputs=1, get_input=lambda _: _CROPS)

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda *_: None)

    def build_serialized_network(self, network: Any, config: _Config) -> bytes | None:
        self._trt.builds.append(config.flags)
        is_refittable = Flag.REFIT in config.flags
        if is_refittable and self._trt.refuses_refit:
            self._trt.messages.errors.append("REFIT is not supported")
            return None
        return json.dumps({"refit": is_refittable}).encode() + b"\n" + bytes(network.graph)


_CROPS = SimpleNamespace(name="crops", shape=(-1, 256, 128, 3))


class _Config:
    def __init__(self) -> None:
        self.flags: set[Flag] = {Flag.TF32}
        self.set_flag, self.clear_flag = self.flags.add, self.flags.discard

    def set_memory_pool_limit(self, *_: int) -> None: ...

    def set_preview_feature(self, *_: int) -> None: ...

    def add_optimization_profile(self, _profile: Any) -> None: ...

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(serialize=lambda: content + b"t")

    def set_timing_cache(self, *_: Any) -> bool:
        return True


class _Parser:
    num_errors = 0

    def __init__(self, network: Any) -> None:
        self._network = network

    def parse(self, graph: bytes) -> bool:
        self._network.graph = graph
        return True


class _Engine:
    """Runs a graph. Refitted, it runs another one."""

    num_optimization_profiles = 1

    def __init__(self, trt: FakeTensorRt, head: Mapping[str, bool], graph: bytes) -> None:
        self.trt, self.head = trt, head
        self.device_memory_size_v2 = trt.activation_bytes
        self.take(graph)

    def take(self, graph: bytes) -> None:
        self.graph = graph
        self.session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.nodes = {node.name: node for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.num_io_tensors = len(self.nodes)

    def serialize(self) -> bytes:
        return json.dumps(self.head).encode() + b"\n" + self.graph

    def get_tensor_name(self, index: int) -> str:
        return list(self.nodes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self.nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return _TYPES[self.nodes[name].type]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name in [node.name for node in self.session.get_inputs()] else Mode.OUTPUT

    def create_execution_context(self, _strategy: int) -> _Context:
        return _Context(self)

    create_execution_context_without_device_memory = lambda self: _Context(self)  # noqa: E731


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine, self._batch = engine, 1
        self._addresses: dict[str, int] = {}
        self.device_memory = 0

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        return index == 0 and stream in self._engine.trt.gpu.streams

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        self._batch = shape[0]
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._batch if size < 0 else size for size in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, _stream: int) -> bool:
        assert self.device_memory in self._engine.trt.gpu.memory
        self._engine.trt.gpu.do(self._compute)
        return True

    def _view(self, name: str) -> Any:
        shape, dtype = self.get_tensor_shape(name), np.dtype(self._engine.get_tensor_dtype(name))
        memory = self._engine.trt.gpu.memory[self._addresses[name]]
        return memory[: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)

    def _compute(self) -> None:
        session = self._engine.session
        outputs = session.run(None, {node.name: self._view(node.name) for node in session.get_inputs()})
        trt = self._engine.trt
        is_wrong = (trt.loses_bias and self._engine.head["refit"]) or self._batch == trt.wrong_batch
        for node, output in zip(session.get_outputs(), outputs, strict=True):
            self._view(node.name)[...] = np.roll(output, int(is_wrong), axis=1)


class _Refitter:
    """Refits by name: the initialisers of the graph that the engine runs."""

    def __init__(self, engine: _Engine) -> None:
        self.engine, self.graph = engine, onnx.load_from_string(engine.graph)
        self.missing: list[str] = []
        self.owners: list[weakref.ref[Any]] = []

    def get_all_weights(self) -> list[str]:
        return [tensor.name for tensor in self.graph.graph.initializer]

    def set_named_weights(self, name: str, weights: Any) -> bool:
        tensor = next(tensor for tensor in self.graph.graph.initializer if tensor.name == name)
        if numpy_helper.to_array(tensor).shape != weights.shape:
            return False
        self.owners.append(weakref.ref(weights))
        tensor.CopyFrom(numpy_helper.from_array(weights, name))
        return True

    def get_missing_weights(self) -> list[str]:
        return self.missing

    def refit_cuda_engine(self) -> bool:
        assert all(owner() is not None for owner in self.owners), "weights were freed before they were used"
        self.engine.take(self.graph.SerializeToString())
        return True


class _ParserRefitter:
    num_errors = 1

    def __init__(self, refitter: _Refitter) -> None:
        self._refitter = refitter

    def refit_from_bytes(self, graph: bytes) -> bool:
        wanted = onnx.load_from_string(graph)
        if len(wanted.graph.node) != len(self._refitter.graph.graph.node):
            return False
        self._refitter.graph = wanted
        self._refitter.owners.append(weakref.ref(self))
        return True

    def get_error(self, _index: int) -> Any:
        return SimpleNamespace(desc=lambda: "the graph is of another structure")
