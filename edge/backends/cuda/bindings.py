"""CUDA by way of NVIDIA's `cuda-bindings`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edge.backends.cuda.interface import NO_DRIVER, Device
from edge.errors import BackendError, DeviceMemoryError
from reid.types import UInt8Array

_NAME_BYTES = 256


class BindingsCuda:
    """See `Cuda`.

    Args:
        ordinal: Which of the machine's GPUs.

    Raises:
        BackendError: `cuda-bindings` is not installed, there is no driver, or no such GPU.
    """

    name = "cuda-bindings"

    def __init__(self, ordinal: int = 0) -> None:
        self._driver = _import_driver()
        try:
            self._call(self._driver.cuInit, 0)
            handle = self._call(self._driver.cuDeviceGet, ordinal)
        except (BackendError, RuntimeError, OSError) as error:  # a missing libcuda raises either of the latter
            raise BackendError(NO_DRIVER.format(problem=error)) from None
        self.device = self._describe(handle)
        self._handle = handle
        self._context = self._call(self._driver.cuDevicePrimaryCtxRetain, handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `Cuda.current`."""
        self._call(self._driver.cuCtxPushCurrent, self._context)
        try:
            yield
        finally:
            self._call(self._driver.cuCtxPopCurrent)

    def free_bytes(self) -> int:
        """See `Cuda.free_bytes`."""
        return int(self._call(self._driver.cuMemGetInfo)[0])

    def allocate(self, num_bytes: int) -> int:
        """See `Cuda.allocate`."""
        return int(self._call(self._driver.cuMemAlloc, num_bytes))

    def free(self, address: int) -> None:
        """See `Cuda.free`."""
        self._call(self._driver.cuMemFree, address)

    def allocate_pinned(self, num_bytes: int) -> UInt8Array:
        """See `Cuda.allocate_pinned`."""
        address = int(self._call(self._driver.cuMemHostAlloc, num_bytes, 0))
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * num_bytes).from_address(address))
        memory[:] = 0
        return memory

    def free_pinned(self, memory: UInt8Array) -> None:
        """See `Cuda.free_pinned`."""
        self._call(self._driver.cuMemFreeHost, memory.ctypes.data)

    def new_stream(self) -> int:
        """See `Cuda.new_stream`."""
        return int(self._call(self._driver.cuStreamCreate, int(self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING)))

    def free_stream(self, stream: int) -> None:
        """See `Cuda.free_stream`."""
        self._call(self._driver.cuStreamDestroy, stream)

    def upload(self, address: int, pinned: UInt8Array, stream: int) -> None:
        """See `Cuda.upload`."""
        self._call(self._driver.cuMemcpyHtoDAsync, address, pinned.ctypes.data, pinned.nbytes, stream)

    def download(self, pinned: UInt8Array, address: int, stream: int) -> None:
        """See `Cuda.download`."""
        self._call(self._driver.cuMemcpyDtoHAsync, pinned.ctypes.data, address, pinned.nbytes, stream)

    def synchronise(self, stream: int) -> None:
        """See `Cuda.synchronise`."""
        self._call(self._driver.cuStreamSynchronize, stream)

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """See `Cuda.capture`."""
        # Only this thread's calls are held to the rules of a capture: other engines may be prepared meanwhile.
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call(self._driver.cuStreamBeginCapture, stream, mode)
        try:
            work()
        except BaseException:
            self._driver.cuStreamEndCapture(stream)  # a capture that broke says so again; the first reason counts
            raise
        graph = self._call(self._driver.cuStreamEndCapture, stream)
        try:
            return int(self._call(self._driver.cuGraphInstantiate, graph, 0))
        finally:
            self._call(self._driver.cuGraphDestroy, graph)

    def launch(self, graph: int, stream: int) -> None:
        """See `Cuda.launch`."""
        self._call(self._driver.cuGraphLaunch, graph, stream)

    def free_graph(self, graph: int) -> None:
        """See `Cuda.free_graph`."""
        self._call(self._driver.cuGraphExecDestroy, graph)

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """See `Cuda.elapsed_ms`."""
        start, end = (self._call(self._driver.cuEventCreate, 0) for _ in range(2))
        try:
            self._call(self._driver.cuEventRecord, start, stream)
            work()
            self._call(self._driver.cuEventRecord, end, stream)
            self._call(self._driver.cuEventSynchronize, end)
            return float(self._call(self._driver.cuEventElapsedTime, start, end))
        finally:
            for event in (start, end):
                self._call(self._driver.cuEventDestroy, event)

    def close(self) -> None:
        """See `Cuda.close`."""
        self._call(self._driver.cuDevicePrimaryCtxRelease, self._handle)

    def _describe(self, handle: Any) -> Device:
        attributes = self._driver.CUdevice_attribute
        major, minor = (
            self._call(self._driver.cuDeviceGetAttribute, attribute, handle)
            for attribute in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        name = self._call(self._driver.cuDeviceGetName, _NAME_BYTES, handle)
        total_bytes = int(self._call(self._driver.cuDeviceTotalMem, handle))
        return Device(name.rstrip(b"\0").decode(), f"{major}.{minor}", total_bytes)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        status, *values = function(*arguments)
        if status != self._driver.CUresult.CUDA_SUCCESS:
            kind = DeviceMemoryError if status == self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY else BackendError
            raise kind(f"CUDA: {function.__name__} failed with {status.name}")
        return values[0] if len(values) == 1 else values


def _import_driver() -> Any:
    try:
        from cuda.bindings import driver  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise BackendError(f"cuda-bindings is not installed ({error}): pip install cuda-bindings") from None
    return driver
