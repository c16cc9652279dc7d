"""Which back ends there are. Another one is a file of its own and a row of `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnxruntime as ort

from edge.backends.openvino import OpenVinoEmbedder, openvino_precisions, openvino_version
from reid.embedder import Embedder, OnnxEmbedder
from reid.release import Precision, Release


@dataclass(frozen=True)
class Backend:
    """One way to run a release.

    Attributes:
        name: The embedder's `backend`.
        version: Its library's version, or `none` where that is not installed; loads nothing.
        precisions: What it computes on this machine. Raises `BackendError` where it is not installed or cannot run.
        open: Makes an embedder of a release, in a precision, with a number of threads (0: it chooses). Raises
            `BackendError` or `ReleaseError`.
    """

    name: str
    version: Callable[[], str]
    precisions: Callable[[], tuple[Precision, ...]]
    open: Callable[[Release, Precision, int], Embedder]


def _open_onnxruntime(release: Release, _precision: Precision, num_threads: int) -> Embedder:
    return OnnxEmbedder(release, num_threads=num_threads)


def _open_openvino(release: Release, precision: Precision, num_threads: int) -> Embedder:
    return OpenVinoEmbedder(release, precision=precision, num_threads=num_threads)


AUTO = "auto"
"""Asks for the fastest back end that computes what was released."""
DEFAULT = OnnxEmbedder.backend
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(OnnxEmbedder.backend, lambda: ort.__version__, lambda: ("fp32",), _open_onnxruntime),
        Backend(OpenVinoEmbedder.backend, openvino_version, openvino_precisions, _open_openvino),
    )
}
FORMS = f"{', '.join(BACKENDS)} or {AUTO} (the fastest that passes the release's golden check)"
