"""Which library talks to CUDA here: pycuda where it is installed, as on a Jetson, else cuda-bindings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.backends.cuda.bindings import BindingsCuda
from edge.backends.cuda.interface import Cuda
from edge.backends.cuda.pycuda import PyCuda
from edge.errors import BackendError

LIBRARIES: tuple[Callable[[], Cuda], ...] = (PyCuda, BindingsCuda)


def open_cuda(libraries: Sequence[Callable[[], Cuda]] = LIBRARIES) -> Cuda:
    """Open the first GPU with the first library that can.

    Raises:
        BackendError: None is installed, there is no driver, or no GPU.
    """
    problems = []
    for library in libraries:
        try:
            return library()
        except BackendError as error:
            problems.append(str(error))
    raise BackendError("; ".join(problems))
