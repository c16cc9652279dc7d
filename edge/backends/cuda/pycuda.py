"""CUDA by way of pycuda, which is compiled on the device against its own CUDA.

pycuda (2026.1) knows no graphs: those calls go to the driver itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edge.backends.cuda.interface import NO_DRIVER, Device
from edge.errors import BackendError, DeviceMemoryError
from reid.types import UInt8Array

_DRIVER_LIBRARY = "libcuda.so.1"
_CAPTURE_MODE_THREAD_LOCAL = 1
_NON_BLOCKING = 1
_OUT_OF_MEMORY = 2


class PyCuda:
    """See `Cuda`.

    Args:
        ordinal: Which of the machine's GPUs.

    Raises:
        BackendError: pycuda is not installed, there is no driver, or no such GPU.
    """

    name = "pycuda"

    def __init__(self, ordinal: int = 0) -> None:
        self._driver = driver = _import_driver()
        try:
            driver.init()
            device = driver.Device(ordinal)
            self._graphs = _DriverGraphs()
        except (driver.Error, OSError) as error:
            raise BackendError(NO_DRIVER.format(problem=error)) from None
        major, minor = device.compute_capability()
        self.device = Device(device.name(), f"{major}.{minor}", device.total_memory())
        self._context = device.retain_primary_context()
        self._allocations: dict[int, Any] = {}
        self._streams: dict[int, Any] = {}

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `Cuda.current`."""
        with self._errors():
            self._context.push()
        try:
            with self._errors():
                yield
        finally:
            self._driver.Context.pop()

    def free_bytes(self) -> int:
        """See `Cuda.free_bytes`."""
        return int(self._driver.mem_get_info()[0])

    def allocate(self, num_bytes: int) -> int:
        """See `Cuda.allocate`."""
        with self._errors():
            allocation = self._driver.mem_alloc(num_bytes)
        self._allocations[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        """See `Cuda.free`."""
        self._allocations.pop(address).free()

    def allocate_pinned(self, num_bytes: int) -> UInt8Array:
        """See `Cuda.allocate_pinned`."""
        with self._errors():
            memory: UInt8Array = self._driver.pagelocked_empty(num_bytes, np.uint8)
        memory[:] = 0
        return memory

    def free_pinned(self, memory: UInt8Array) -> None:
        """See `Cuda.free_pinned`."""
        memory.base.free()  # type: ignore[union-attr] # pycuda's own owner of the memory

    def new_stream(self) -> int:
        """See `Cuda.new_stream`."""
        with self._errors():
            stream = self._driver.Stream(_NON_BLOCKING)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def free_stream(self, stream: int) -> None:
        """See `Cuda.free_stream`."""
        del self._streams[stream]

    def upload(self, address: int, pinned: UInt8Array, stream: int) -> None:
        """See `Cuda.upload`."""
        with self._errors():
            self._driver.memcpy_htod_async(address, pinned, self._streams[stream])

    def download(self, pinned: UInt8Array, address: int, stream: int) -> None:
        """See `Cuda.download`."""
        with self._errors():
            self._driver.memcpy_dtoh_async(pinned, address, self._streams[stream])

    def synchronise(self, stream: int) -> None:
        """See `Cuda.synchronise`."""
        with self._errors():
            self._streams[stream].synchronize()

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """See `Cuda.capture`."""
        return self._graphs.capture(work, stream)

    def launch(self, graph: int, stream: int) -> None:
        """See `Cuda.launch`."""
        self._graphs.call("cuGraphLaunch", graph, stream)

    def free_graph(self, graph: int) -> None:
        """See `Cuda.free_graph`."""
        self._graphs.call("cuGraphExecDestroy", graph)

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """See `Cuda.elapsed_ms`."""
        with self._errors():
            start, end = self._driver.Event(), self._driver.Event()
            start.record(self._streams[stream])
            work()
            end.record(self._streams[stream])
            end.synchronize()
            return float(start.time_till(end))

    def close(self) -> None:
        """See `Cuda.close`."""
        self._context.detach()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError as error:
            raise DeviceMemoryError(f"CUDA: {error}") from None
        except self._driver.Error as error:
            raise BackendError(f"CUDA: {error}") from None


class _DriverGraphs:
    """The driver's own calls for graphs; handles are pointers, and go by as numbers.

    Raises:
        OSError: There is no driver.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(_DRIVER_LIBRARY)

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """See `Cuda.capture`."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        # Only this thread's calls are held to the rules of a capture: other engines may be prepared meanwhile.
        self.call("cuStreamBeginCapture_v2", stream, ctypes.c_int(_CAPTURE_MODE_THREAD_LOCAL))
        try:
            work()
        except BaseException:
            # A capture that broke says so again; the first reason counts.
            self._library.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
            raise
        self.call("cuStreamEndCapture", stream, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return int(executable.value or 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call the driver; plain numbers are handles.

        Raises:
            BackendError: It refused.
        """
        passed = [ctypes.c_void_p(value) if isinstance(value, int) else value for value in arguments]
        status = getattr(self._library, name)(*passed)
        if status:
            kind = DeviceMemoryError if status == _OUT_OF_MEMORY else BackendError
            raise kind(f"CUDA: {name} failed with error {status}")


def _import_driver() -> Any:
    try:
        from pycuda import driver  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise BackendError(
            f"pycuda is not installed ({error}): pip install 'osprey-reid[tensorrt]', which compiles it against CUDA"
        ) from None
    return driver
