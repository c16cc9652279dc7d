"""Which back ends there are. Another one is a file of its own and a row of `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from platform import machine
from typing import Protocol, runtime_checkable

import onnxruntime as ort

from edge.backends.openvino import OpenVinoEmbedder, openvino_precisions, openvino_version
from edge.backends.tensorrt.embedder import TensorRtEmbedder, open_tensorrt_embedder, tensorrt_precisions
from edge.backends.tensorrt.module import tensorrt_version
from reid.embedder import Embedder, OnnxEmbedder
from reid.release import Precision, Release


@dataclass(frozen=True)
class Backend:
    """One way to run a release.

    Attributes:
        name: The embedder's `backend`.
        version: Its library's version, or `none` where that is not installed; loads nothing.
        precisions: What it computes of a release on this machine. Raises `BackendError` where it is not installed or
            cannot run.
        open: Makes an embedder of a release, in a precision, with a number of threads (0: it chooses). Raises
            `BackendError` or `ReleaseError`.
    """

    name: str
    version: Callable[[], str]
    precisions: Callable[[Release], tuple[Precision, ...]]
    open: Callable[[Release, Precision, int], Embedder]


@runtime_checkable
class Refittable(Protocol):
    """What an embedder may offer besides: its own engine with other weights, in less time than a build takes."""

    def refitted(self, release: Release) -> Embedder:
        """A new embedder of another release, on an engine of its own. This one runs on, untouched.

        Whoever calls checks the golden crops: a refit that goes wrong need not say so.

        Raises:
            BackendError: This engine cannot be refitted, or not with these weights; build one instead.
            DeviceMemoryError: The device has no memory left for two.
        """


def _onnxruntime_precisions(release: Release) -> tuple[Precision, ...]:
    # Not fp16: a processor computes it in fp32 and rounds in between. And int8 on ARM alone: on x86 it is slower than
    # fp32 at every batch size (docs/log.md), so each start would measure it for nothing.
    return ("fp32", "int8") if "int8" in release.precisions and machine() in _ARM else ("fp32",)


def _open_onnxruntime(release: Release, precision: Precision, num_threads: int) -> Embedder:
    return OnnxEmbedder(release, precision=precision, num_threads=num_threads)


def _open_openvino(release: Release, precision: Precision, num_threads: int) -> Embedder:
    return OpenVinoEmbedder(release, precision=precision, num_threads=num_threads)


def _open_tensorrt(release: Release, precision: Precision, _num_threads: int) -> Embedder:
    return open_tensorrt_embedder(release, precision)


_ARM = ("aarch64", "arm64")
AUTO = "auto"
"""Asks for the fastest back end that computes what was released."""
DEFAULT = OnnxEmbedder.backend
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(OnnxEmbedder.backend, lambda: ort.__version__, _onnxruntime_precisions, _open_onnxruntime),
        Backend(OpenVinoEmbedder.backend, openvino_version, openvino_precisions, _open_openvino),
        Backend(TensorRtEmbedder.backend, tensorrt_version, tensorrt_precisions, _open_tensorrt),
    )
}
FORMS = f"{', '.join(BACKENDS)} or {AUTO} (the fastest that passes the release's golden check)"
