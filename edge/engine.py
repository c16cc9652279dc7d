"""The embedder of an agent: one release, verified and checked when it is loaded, shared by all cameras."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from edge.backends.registry import DEFAULT
from edge.backends.selection import select_embedder
from reid.embedder import Embedder
from reid.release import load_release
from reid.types import FloatArray, ReleaseRef, UInt8Array

logger = structlog.get_logger(__name__)


class Engine:
    """Lets the threads of several cameras use one embedder in turn.

    Args:
        embedder: Used by one thread at a time from here on.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()

    @property
    def release(self) -> ReleaseRef:
        """The release that runs."""
        return self._embedder.release

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return self._embedder.dim

    @property
    def backend(self) -> str:
        """What runs it, one word."""
        return self._embedder.backend

    @property
    def precision(self) -> str:
        """Its arithmetic."""
        return self._embedder.precision

    def embed(self, crops: UInt8Array) -> FloatArray:
        """See `reid.embedder.Embedder.embed`."""
        with self._lock:
            return self._embedder.embed(crops)


def open_engine(folder: Path, *, num_threads: int, backend: str = DEFAULT) -> Engine:
    """Load a release, verify its files and run its golden crops.

    Args:
        folder: The release.
        num_threads: Threads of one call; 0 for one per core.
        backend: One of `edge.backends.registry.BACKENDS`, or `auto` for the fastest.

    Raises:
        BackendError: That back end is not installed or does not run on this machine.
        ReleaseError: The release is incomplete, altered, cannot be run, or computes something else than was released.
    """
    release = load_release(folder)
    chosen = select_embedder(release, asked=backend, num_threads=num_threads)
    embedder = chosen.embedder
    logger.info(
        "release loaded",
        release=str(release.ref),
        dim=embedder.dim,
        backend=embedder.backend,
        precision=embedder.precision,
        why=chosen.why,
        golden_cosine=round(chosen.golden_cosine, 5),
    )
    return Engine(embedder)
