"""An engine on the device, and a run of it by batch: pinned buffers, one stream, a CUDA graph for each batch size.

A batch is padded to the next of a few sizes. Each size has a context of its own with a captured graph, since a graph
holds for one shape and one context; they take turns, so all share one piece of device memory. Only named tensors are
used. Runs only where there is a GPU: what is tested without one runs on fakes of CUDA and of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from edge.backends.cuda.interface import Cuda
from edge.backends.tensorrt.module import TensorRt
from edge.errors import BackendError, DeviceMemoryError
from reid.types import AnyArray, UInt8Array

logger = structlog.get_logger(__name__)

_MEMORY_SIGNS = ("out of memory", "outofmemory", "cudaerrormemoryallocation", "out_of_memory")
_FREE = -1


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        name: As in the graph.
        shape: -1 where the batch is free.
        dtype: Its numbers.
        is_input: Or an output.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool


class LoadedEngine:
    """An engine on the device.

    Args:
        tensorrt: The one that it was built with.
        plan: The engine as bytes.
        cuda: Its context is current.
        name: For messages.

    Attributes:
        engine: TensorRT's.
        plan_bytes: Size of the plan.

    Raises:
        BackendError: It was built for another TensorRT or GPU, or is broken.
        DeviceMemoryError: It does not fit.
    """

    def __init__(self, tensorrt: TensorRt, plan: bytes, cuda: Cuda, *, name: str) -> None:
        self.tensorrt, self.name, self.plan_bytes = tensorrt, name, len(plan)
        self._cuda = cuda
        tensorrt.messages.take()
        self._runtime = tensorrt.module.Runtime(tensorrt.logger)  # must outlive the engine
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise self.problem("cannot be opened")

    def tensors(self) -> list[Tensor]:
        """Its inputs and outputs, in the order of the engine."""
        engine, trt = self.engine, self.tensorrt.module
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [
            Tensor(
                name,
                tuple(engine.get_tensor_shape(name)),
                np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            )
            for name in names
        ]

    def activation_bytes(self) -> int:
        """Device memory that one run of it needs."""
        size = getattr(self.engine, "device_memory_size_v2", None)
        return int(self.engine.device_memory_size if size is None else size)

    def new_context(self, memory: int) -> Any:
        """A context that works in memory of `activation_bytes` at this address.

        Raises:
            BackendError: TensorRT makes none.
            DeviceMemoryError: The device's memory is used up.
        """
        context = self._create_context()
        if context is None:
            raise self.problem("gives no execution context")
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(memory, self.activation_bytes())
        else:
            context.device_memory = memory
        return context

    def serialise(self) -> bytes:
        """The engine as bytes, with the weights that it holds now.

        Raises:
            BackendError: TensorRT gives none.
        """
        content = self.engine.serialize()
        if content is None:
            raise self.problem("cannot be written out")
        return bytes(content)

    def close(self) -> None:
        """Let go of the engine; no context of it may be left. A second call does nothing."""
        self.engine = None
        self._runtime = None

    def problem(self, what: str) -> BackendError:
        """What TensorRT said last, as an error of the right kind."""
        device, reason = self._cuda.device, self.tensorrt.messages.take()
        if any(sign in reason.lower() for sign in _MEMORY_SIGNS):
            return memory_problem(f"{self.name} {what}", self._cuda, reason)
        title = f"{self.tensorrt.flavour} {self.tensorrt.version}"
        return BackendError(f"{self.name} {what} by {title} on {device.name} ({device.capability}): {reason}")

    def _create_context(self) -> Any:
        trt, engine = self.tensorrt.module, self.engine
        strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)
        if strategies is None:
            return engine.create_execution_context_without_device_memory()
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            return engine.create_execution_context(strategies.USER_MANAGED)
        # TensorRT-RTX compiles for a shape when it first meets it: at once, not in the background of a captured graph.
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategies.USER_MANAGED)
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return engine.create_execution_context(config)


def memory_problem(what: str, cuda: Cuda, reason: str) -> DeviceMemoryError:
    """What did not fit, with what is free and the way out."""
    free_mb, total_mb = cuda.free_bytes() >> 20, cuda.device.total_bytes >> 20
    return DeviceMemoryError(
        f"{what}, and {free_mb} of {total_mb} MB are free on {cuda.device.name}: end what else uses it ({reason})"
    )


@dataclass
class _Size:
    """What runs one batch size."""

    context: Any
    shapes: Mapping[str, tuple[int, ...]]
    graph: int | None = None


class EngineSession:
    """Runs an engine. One thread at a time; several may take turns.

    Args:
        loaded: The engine.
        cuda: Its context is current. Closed with the session.
        sizes: Batch sizes to be prepared, rising; batches are padded to the next one. Means nothing where the graph's
            batch is fixed.

    Attributes:
        device_bytes: Memory of the device that it holds, as far as it is known: the plan, activations and buffers.
        most: Largest batch of one run.

    Raises:
        BackendError: The engine does not run, or has an output whose size depends on the content.
        DeviceMemoryError: The device's memory is used up.
    """

    def __init__(self, loaded: LoadedEngine, cuda: Cuda, *, sizes: Sequence[int]) -> None:
        self._loaded, self._cuda = loaded, cuda
        self._tensors = loaded.tensors()
        self._is_free = any(_FREE in tensor.shape for tensor in self._tensors)
        wanted = list(sizes) if self._is_free else [self._tensors[0].shape[0]]
        self.most = wanted[-1]
        self.device_bytes = loaded.plan_bytes
        self._sizes: dict[int, _Size] = {}
        self._addresses: dict[str, int] = {}
        self._pinned: dict[str, UInt8Array] = {}
        self._is_closed = False
        with ExitStack() as held:
            held.callback(self._forget)
            self._stream = cuda.new_stream()
            held.callback(cuda.free_stream, self._stream)
            self._activations = self._allocate(max(1, loaded.activation_bytes()), held)
            for size in reversed(wanted):  # the largest decides how long the buffers are
                self._sizes[size] = self._prepare(size, held)
            self._held = held.pop_all()

    @property
    def tensors(self) -> Sequence[Tensor]:
        """Inputs and outputs."""
        return self._tensors

    @property
    def num_graphs(self) -> int:
        """Batch sizes that run as a CUDA graph; the others are launched kernel by kernel."""
        return sum(size.graph is not None for size in self._sizes.values())

    def run(self, feeds: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Run one batch.

        Args:
            feeds: Every input by name, with one row for each of at most `most` items.

        Returns:
            Every output by name, one row for each item, of its own memory.

        Raises:
            BackendError: The device failed.
        """
        count = len(next(iter(feeds.values())))
        size = self._size_of(count)
        with self._cuda.current():
            for name, array in feeds.items():
                np.copyto(self._view(name, size)[:count], array, casting="no")
            self._launch(self._sizes[size])
            self._cuda.synchronise(self._stream)
        outputs = (tensor.name for tensor in self._tensors if not tensor.is_input)
        return {name: self._view(name, size)[: count if self._is_free else None].copy() for name in outputs}

    def device_ms(self, count: int) -> float:
        """Milliseconds that the device takes for a batch of this size, copies included; its content is the last one."""
        with self._cuda.current():
            return self._cuda.elapsed_ms(lambda: self._launch(self._sizes[self._size_of(count)]), self._stream)

    def close(self) -> None:
        """Give everything back to the device. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._cuda.current():
            self._held.close()
        self._cuda.close()

    def _size_of(self, count: int) -> int:
        return min(size for size in self._sizes if size >= count)

    def _allocate(self, num_bytes: int, held: ExitStack) -> int:
        try:
            address = self._cuda.allocate(num_bytes)
        except DeviceMemoryError as error:
            wanted = f"{self._loaded.name} needs {num_bytes >> 20} MB more"
            raise memory_problem(wanted, self._cuda, str(error)) from None
        held.callback(self._cuda.free, address)
        self.device_bytes += num_bytes
        return address

    def _prepare(self, size: int, held: ExitStack) -> _Size:
        context = self._loaded.new_context(self._activations)
        if self._is_free:
            context.set_optimization_profile_async(0, self._stream)
        for tensor in self._tensors:
            if tensor.is_input and _FREE in tensor.shape:
                context.set_input_shape(tensor.name, (size, *tensor.shape[1:]))
        shapes = {tensor.name: tuple(context.get_tensor_shape(tensor.name)) for tensor in self._tensors}
        for tensor in self._tensors:
            self._bind(context, tensor, shapes[tensor.name], held)
        prepared = _Size(context, shapes)
        self._launch(prepared)  # settles what a changed shape has put off, before anything is captured
        self._cuda.synchronise(self._stream)
        prepared.graph = self._capture(prepared, held)
        return prepared

    def _bind(self, context: Any, tensor: Tensor, shape: tuple[int, ...], held: ExitStack) -> None:
        if any(length < 0 for length in shape):
            raise BackendError(f"{self._loaded.name}: size of output {tensor.name} {shape} depends on the content")
        if tensor.name not in self._addresses:
            num_bytes = math.prod(shape) * tensor.dtype.itemsize
            self._addresses[tensor.name] = self._allocate(num_bytes, held)
            self._pinned[tensor.name] = self._cuda.allocate_pinned(num_bytes)
            held.callback(self._cuda.free_pinned, self._pinned[tensor.name])
        context.set_tensor_address(tensor.name, self._addresses[tensor.name])

    def _capture(self, size: _Size, held: ExitStack) -> int | None:
        """Record a run as a graph; None where this engine cannot be recorded, which costs speed only."""
        try:
            graph = self._cuda.capture(lambda: self._enqueue(size), self._stream)
        except DeviceMemoryError:
            raise
        except BackendError as error:
            logger.warning("runs without CUDA graph", engine=self._loaded.name, problem=str(error))
            return None
        held.callback(self._cuda.free_graph, graph)
        return graph

    def _launch(self, size: _Size) -> None:
        if size.graph is None:
            self._enqueue(size)
        else:
            self._cuda.launch(size.graph, self._stream)

    def _enqueue(self, size: _Size) -> None:
        for tensor in self._tensors:
            if tensor.is_input:
                self._cuda.upload(self._addresses[tensor.name], self._bytes(tensor, size), self._stream)
        if not size.context.execute_async_v3(self._stream):
            raise self._loaded.problem("cannot be run")
        for tensor in self._tensors:
            if not tensor.is_input:
                self._cuda.download(self._bytes(tensor, size), self._addresses[tensor.name], self._stream)

    def _bytes(self, tensor: Tensor, size: _Size) -> UInt8Array:
        return self._pinned[tensor.name][: math.prod(size.shapes[tensor.name]) * tensor.dtype.itemsize]

    def _view(self, name: str, size: int) -> AnyArray:
        tensor = next(tensor for tensor in self._tensors if tensor.name == name)
        return self._bytes(tensor, self._sizes[size]).view(tensor.dtype).reshape(self._sizes[size].shapes[name])

    def _forget(self) -> None:
        """Let go of TensorRT's objects while the context is still there."""
        self._sizes.clear()
        self._pinned.clear()
        self._loaded.close()
