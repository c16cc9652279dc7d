"""What is asked of CUDA: memory, copies, a stream, graphs. Two libraries offer it, and a fake in the tests.

Addresses and streams are numbers, since that is what TensorRT takes. Every call wants the context to be current in the
calling thread: `with cuda.current():` around it. The context is the device's primary one, retained once; TensorRT uses
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from reid.types import UInt8Array

NO_DRIVER = (
    "no NVIDIA driver can be used here ({problem}): see whether 'nvidia-smi' (on a Jetson 'tegrastats') finds the GPU, "
    "and start a container with the NVIDIA runtime; or take --backend onnxruntime"
)


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        name: As the driver says.
        capability: Major and minor, for example `8.7`.
        total_bytes: Its memory; on a Jetson shared with the CPU.
    """

    name: str
    capability: str
    total_bytes: int


class Cuda(Protocol):
    """CUDA on one device.

    Every call may raise `BackendError`; those that take memory raise `DeviceMemoryError` when there is none left.
    """

    name: str
    """The library."""
    device: Device

    def current(self) -> AbstractContextManager[None]:
        """Makes the context current in this thread for the length of a block."""

    def free_bytes(self) -> int:
        """Memory of the device that nobody uses."""

    def allocate(self, num_bytes: int) -> int:
        """Memory on the device; its address."""

    def free(self, address: int) -> None:
        """Give back what `allocate` gave."""

    def allocate_pinned(self, num_bytes: int) -> UInt8Array:
        """Zeros in host memory that does not move, from and to which copies run by themselves."""

    def free_pinned(self, memory: UInt8Array) -> None:
        """Give back what `allocate_pinned` gave. Views of it must not be used any more."""

    def new_stream(self) -> int:
        """A stream other than the default one."""

    def free_stream(self, stream: int) -> None:
        """Give it back."""

    def upload(self, address: int, pinned: UInt8Array, stream: int) -> None:
        """Copy from pinned memory to the device, later."""

    def download(self, pinned: UInt8Array, address: int, stream: int) -> None:
        """Copy from the device to pinned memory, later."""

    def synchronise(self, stream: int) -> None:
        """Wait until a stream has done everything."""

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """Record what `work` puts on a stream instead of doing it; a graph to be launched."""

    def launch(self, graph: int, stream: int) -> None:
        """Do what was captured, later."""

    def free_graph(self, graph: int) -> None:
        """Give it back."""

    def elapsed_ms(self, work: Callable[[], None], stream: int) -> float:
        """Milliseconds of the device between the start and the end of what `work` puts on a stream; waits for it."""

    def close(self) -> None:
        """Give the context back. Nothing else may be called afterwards."""
