"""Both CUDA libraries on stand-ins for what they wrap: the right calls in the right order, each failure named."""

from __future__ import annotations

import ctypes
import sys
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edge.backends.cuda import pycuda as cuda_pycuda
from edge.backends.cuda.bindings import BindingsCuda
from edge.backends.cuda.choice import open_cuda
from edge.backends.cuda.pycuda import PyCuda
from edge.errors import BackendError, DeviceMemoryError


class Status(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class FakeBindings(ModuleType):
    """`cuda.bindings.driver`: each call answers with its status and what `answers` says.

    Attributes:
        calls: Names of the calls, in order.
        failing: Status by name of the calls that fail.
    """

    CUresult = Status
    CUstream_flags = IntEnum("CUstream_flags", {"CU_STREAM_NON_BLOCKING": 1})
    CUstreamCaptureMode = IntEnum("CUstreamCaptureMode", {"CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": 1})
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=8, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=7
    )

    def __init__(self) -> None:
        super().__init__("cuda.bindings.driver")
        self.calls: list[str] = []
        self.failing: dict[str, Status] = {}
        self.host = ctypes.create_string_buffer(64)
        self.answers = {
            "cuDeviceGetName": (b"Orin\0\0",),
            "cuDeviceTotalMem": (1 << 30,),
            "cuMemGetInfo": (1 << 20, 1 << 30),
            "cuMemHostAlloc": (ctypes.addressof(self.host),),
            "cuEventElapsedTime": (1.5,),
        }

    def __getattr__(self, name):
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments):
            self.calls.append(name)
            if name == "cuDeviceGetAttribute":
                return Status.CUDA_SUCCESS, arguments[0]
            return self.failing.get(name, Status.CUDA_SUCCESS), *self.answers.get(name, (7,))

        call.__name__ = name
        return call


@pytest.fixture
def bindings(monkeypatch):
    driver, package = FakeBindings(), ModuleType("cuda.bindings")
    package.driver = driver
    for name, module in {"cuda": ModuleType("cuda"), "cuda.bindings": package, driver.__name__: driver}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return driver


def test_bindings_describe_the_device(bindings):
    cuda = BindingsCuda()
    assert (cuda.device.name, cuda.device.capability, cuda.device.total_bytes) == ("Orin", "8.7", 1 << 30)
    assert cuda.free_bytes() == 1 << 20


def test_bindings_make_the_context_current_and_give_it_back_whatever_happens(bindings):
    with pytest.raises(ValueError, match="own"), BindingsCuda().current():
        raise ValueError("own")
    assert bindings.calls[-2:] == ["cuCtxPushCurrent", "cuCtxPopCurrent"]


def test_bindings_pinned_memory_is_zeros_in_place(bindings):
    bindings.host.raw = b"\xff" * 64
    memory = BindingsCuda().allocate_pinned(64)
    assert memory.dtype == np.uint8
    assert bindings.host.raw == bytes(64)


def test_bindings_capture_what_is_put_on_the_stream(bindings):
    cuda, before = BindingsCuda(), len(bindings.calls)
    graph = cuda.capture(lambda: bindings.calls.append("work"), 5)
    cuda.launch(graph, 5)
    names = ["cuStreamBeginCapture", "work", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"]
    assert bindings.calls[before:] == [*names, "cuGraphLaunch"]


def test_bindings_end_a_capture_that_broke(bindings):
    cuda = BindingsCuda()

    def work():
        raise BackendError("cannot be run")

    with pytest.raises(BackendError, match="cannot be run"):
        cuda.capture(work, 5)
    assert bindings.calls[-1] == "cuStreamEndCapture"


def test_bindings_time_by_events_and_give_them_back(bindings):
    assert BindingsCuda().elapsed_ms(lambda: None, 5) == 1.5
    assert bindings.calls.count("cuEventDestroy") == 2


@pytest.mark.parametrize(
    ("status", "kind"), [("CUDA_ERROR_OUT_OF_MEMORY", DeviceMemoryError), ("CUDA_ERROR_ILLEGAL_ADDRESS", BackendError)]
)
def test_bindings_name_a_failing_call(bindings, status, kind):
    cuda = BindingsCuda()
    bindings.failing["cuMemAlloc"] = Status[status]
    with pytest.raises(kind, match=f"cuMemAlloc failed with {status}"):
        cuda.allocate(1)


def test_bindings_without_driver_name_the_way_out(bindings):
    bindings.failing["cuInit"] = Status.CUDA_ERROR_ILLEGAL_ADDRESS
    with pytest.raises(BackendError, match=r"no NVIDIA driver can be used here .*nvidia-smi"):
        BindingsCuda()


def test_every_call_of_the_bindings_is_there_in_what_is_installed(bindings, monkeypatch):
    cuda = BindingsCuda()
    with cuda.current():
        stream, address, memory = cuda.new_stream(), cuda.allocate(8), cuda.allocate_pinned(8)
        cuda.upload(address, memory, stream)
        cuda.download(memory, address, stream)
        cuda.synchronise(stream)
        cuda.free_graph(cuda.capture(lambda: None, stream))
        cuda.elapsed_ms(lambda: None, stream)
        cuda.free_pinned(memory)
        cuda.free(address)
        cuda.free_stream(stream)
    cuda.close()
    monkeypatch.undo()
    real = pytest.importorskip("cuda.bindings.driver")
    assert [name for name in bindings.calls if not hasattr(real, name)] == []


class FakePycuda(ModuleType):
    """`pycuda.driver`, as far as it is used."""

    Error = type("Error", (Exception,), {})
    MemoryError = type("MemoryError", (Error,), {})

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.calls: list[str] = []
        self.is_full = self.has_driver = False
        context = SimpleNamespace(push=self._note("push"), detach=self._note("detach"))
        self.Context = SimpleNamespace(pop=self._note("pop"))
        self.Device = lambda _: SimpleNamespace(
            name=lambda: "Orin",
            compute_capability=lambda: (8, 7),
            total_memory=lambda: 1 << 30,
            retain_primary_context=lambda: context,
        )
        self.Stream = lambda flags: SimpleNamespace(handle=5, flags=flags, synchronize=self._note("synchronise"))
        self.memcpy_htod_async = self._note("upload")
        self.memcpy_dtoh_async = self._note("download")

    def init(self) -> None:
        if not self.has_driver:
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def mem_alloc(self, _num_bytes):
        if self.is_full:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return _Allocation(self.calls)

    def _note(self, name):
        return lambda *_: self.calls.append(name)


class _Allocation:
    def __init__(self, calls):
        self._calls = calls

    def __int__(self):
        return 4096

    def free(self):
        self._calls.append("free")


class FakeLibrary:
    """The driver's own library."""

    def __init__(self, calls) -> None:
        self._calls, self.status = calls, 0

    def __getattr__(self, name):
        def call(*_):
            self._calls.append(name)
            return self.status

        return call


@pytest.fixture
def pycuda(monkeypatch):
    driver, package = FakePycuda(), ModuleType("pycuda")
    driver.has_driver = True
    package.driver = driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    driver.library = FakeLibrary(driver.calls)
    monkeypatch.setattr(cuda_pycuda.ctypes, "CDLL", lambda _: driver.library)
    return driver


def test_pycuda_runs_in_the_primary_context_of_the_device(pycuda):
    cuda = PyCuda()
    with cuda.current():
        address, stream = cuda.allocate(64), cuda.new_stream()
        cuda.upload(address, np.zeros(64, np.uint8), stream)
        cuda.synchronise(stream)
        cuda.free(address)
    cuda.close()
    assert (cuda.device.name, cuda.device.capability) == ("Orin", "8.7")
    assert pycuda.calls == ["push", "upload", "synchronise", "free", "pop", "detach"]


def test_pycuda_captures_by_way_of_the_driver(pycuda):
    cuda = PyCuda()
    cuda.launch(cuda.capture(lambda: pycuda.calls.append("work"), 5), 5)
    names = ["cuStreamBeginCapture_v2", "work", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    assert pycuda.calls == [*names, "cuGraphLaunch"]


@pytest.mark.parametrize(("status", "kind"), [(2, DeviceMemoryError), (900, BackendError)])
def test_pycuda_names_a_graph_that_the_driver_refuses(pycuda, status, kind):
    cuda = PyCuda()
    pycuda.library.status = status
    with pytest.raises(kind, match=f"cuGraphLaunch failed with error {status}"):
        cuda.launch(1, 5)


def test_pycuda_names_a_full_device(pycuda):
    pycuda.is_full = True
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        PyCuda().allocate(1)


def test_pycuda_without_driver_names_the_way_out(pycuda):
    pycuda.has_driver = False
    with pytest.raises(BackendError, match=r"no NVIDIA driver can be used here .*no CUDA-capable device"):
        PyCuda()


def test_a_library_that_is_not_installed_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"pip install 'osprey-reid\[tensorrt\]'.*pip install cuda-bindings"):
        open_cuda()


def test_pycuda_goes_before_the_bindings(pycuda, bindings):
    assert open_cuda().name == "pycuda"
    pycuda.has_driver = False
    assert open_cuda().name == "cuda-bindings"
