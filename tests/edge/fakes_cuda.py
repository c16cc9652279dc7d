"""A GPU of numpy arrays: device memory, a stream that does things at once, graphs that do them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from edge.backends.cuda.interface import Device
from edge.errors import BackendError, DeviceMemoryError
from reid.types import UInt8Array


class FakeGpu:
    """What several openings of one device share.

    Attributes:
        memory: Allocated device memory by address.
        num_launches: Graphs launched.
        num_open: Openings that were not closed.
        captures: False to refuse graphs.
        is_broken: True to fail every wait.
    """

    def __init__(self, *, total_bytes: int = 1 << 30) -> None:
        self.device = Device("Fake GPU", "8.7", total_bytes)
        self.memory: dict[int, UInt8Array] = {}
        self.pinned: list[UInt8Array] = []
        self.streams: set[int] = set()
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.num_launches = self.num_open = self.depth = 0
        self.captures, self.is_broken = True, False
        self._recorded: list[Callable[[], None]] | None = None
        self._next = 1 << 20

    def open_cuda(self) -> FakeCuda:
        return FakeCuda(self)

    def new_handle(self) -> int:
        self._next += 1 << 20
        return self._next

    def used_bytes(self) -> int:
        return sum(block.nbytes for block in self.memory.values())

    def do(self, work: Callable[[], None]) -> None:
        """Put work on the stream: done at once, or recorded while a graph is captured."""
        assert self.depth, "no context is current in this thread"
        if self._recorded is None:
            work()
        else:
            self._recorded.append(work)

    def record(self, work: Callable[[], None]) -> list[Callable[[], None]]:
        self._recorded = []
        try:
            work()
            return self._recorded
        finally:
            self._recorded = None


class FakeCuda:
    """See `edge.backends.cuda.Cuda`."""

    name = "fake"

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu, self.device = gpu, gpu.device
        gpu.num_open += 1

    @contextmanager
    def current(self) -> Iterator[None]:
        self._gpu.depth += 1
        try:
            yield
        finally:
            self._gpu.depth -= 1

    def free_bytes(self) -> int:
        return self.device.total_bytes - self._gpu.used_bytes()

    def allocate(self, num_bytes: int) -> int:
        if num_bytes > self.free_bytes():
            raise DeviceMemoryError("CUDA: out of memory")
        address = self._gpu.new_handle()
        self._gpu.memory[address] = np.zeros(num_bytes, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self._gpu.memory[address]

    def allocate_pinned(self, num_bytes: int) -> UInt8Array:
        memory = np.zeros(num_bytes, np.uint8)
        self._gpu.pinned.append(memory)
        return memory

    def free_pinned(self, memory: UInt8Array) -> None:
        self._gpu.pinned = [block for block in self._gpu.pinned if block is not memory]

    def new_stream(self) -> int:
        stream = self._gpu.new_handle()
        self._gpu.streams.add(stream)
        return stream

    def free_stream(self, stream: int) -> None:
        self._gpu.streams.remove(stream)

    def upload(self, address: int, pinned: UInt8Array, stream: int) -> None:
        assert stream in self._gpu.streams
        self._gpu.do(lambda: np.copyto(self._gpu.memory[address][: pinned.nbytes], pinned))

    def download(self, pinned: UInt8Array, address: int, stream: int) -> None:
        assert stream in self._gpu.streams
        self._gpu.do(lambda: np.copyto(pinned, self._gpu.memory[address][: pinned.nbytes]))

    def synchronise(self, stream: int) -> None:
        assert stream in self._gpu.streams
        if self._gpu.is_broken:
            raise BackendError("CUDA: an illegal memory access was encountered")

    def capture(self, work: Callable[[], None], stream: int) -> int:
        if not self._gpu.captures:
            raise BackendError("CUDA: operation not permitted when stream is capturing")
        graph = self._gpu.new_handle()
        self._gpu.graphs[graph] = self._gpu.record(work)
        return graph

    def launch(self, graph: int, stream: int) -> None:
        self._gpu.num_launches += 1
        for work in self._gpu.graphs[graph]:
            self._gpu.do(work)

    def free_graph(self, graph: int) -> None:
        del self._gpu.graphs[graph]

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        work()
        return 0.5

    def close(self) -> None:
        self._gpu.num_open -= 1
