"""The search engines that are compared: our galleries, in process and over Milvus, and those of `search_rivals`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pymilvus import MilvusClient

from benchmarks.instruments.camera_biased import spans
from benchmarks.instruments.milvus_server import MilvusServerError, milvus_server
from benchmarks.instruments.search.rivals import (
    BLOCK,
    EF_CONSTRUCTION,
    EFFORTS,
    LINKS,
    FaissClusters,
    FaissGraph,
    FaissScan,
    Hnswlib,
    NotBuiltError,
    Usearch,
)
from reid.types import FloatArray, IntArray
from server.gallery.gallery import Gallery
from server.gallery.local import LocalGallery
from server.gallery.milvus import MilvusGallery
from server.gallery.settings import GallerySettings, HnswSettings, SketchSettings

OURS = "ours"
_SPACE = "benchmark"
_INDEXED_WITHIN_S = 3600.0


class Engine(Protocol):
    """One way to search. `open` comes after `build` in another process.

    Attributes:
        efforts: What `set_effort` takes; what it means is each engine's own.
        process: Id of the process group that holds the vectors; 0 for ours.
    """

    efforts: tuple[int, ...]
    process: int

    def build(self, vectors_ND: Any) -> None:
        """Build the index from halves, and leave it on disk."""

    def open(self, vectors_ND: Any) -> None:
        """Start from what is on disk; a gallery in process is also given what the records hold."""

    def set_effort(self, effort: int) -> None:
        """Search with this effort from now on."""

    def search(self, query_D: FloatArray, top: int) -> IntArray:
        """Rows of the nearest, best first."""


class LocalEngine:
    """Our gallery in process with its default settings; the effort is its shortlist."""

    efforts: tuple[int, ...] = (SketchSettings().shortlist,)
    process = 0

    def __init__(self, folder: Path, dim: int, stack: ExitStack) -> None:
        self.folder, self.dim, self.stack = folder, dim, stack
        self.gallery: Gallery = LocalGallery(dim)

    def build(self, vectors_ND: Any) -> None:
        """There is nothing to build: it keeps nothing on disk."""

    def open(self, vectors_ND: Any) -> None:
        """Take everything from the records, as a server does at its start."""
        size = len(vectors_ND)
        self.gallery.replace(np.arange(size), np.asarray(vectors_ND, dtype=np.float32), spans(size))

    def set_effort(self, effort: int) -> None:
        """There is but the default."""

    def search(self, query_D: FloatArray, top: int) -> IntArray:
        """See `Engine.search`."""
        rows: IntArray = self.gallery.search(query_D[np.newaxis], top=top).keys_QK[0]
        return rows


class MilvusEngine(LocalEngine):
    """Our Milvus gallery over the server of the PyPI package; the effort is `ef`."""

    efforts: tuple[int, ...] = EFFORTS

    def build(self, vectors_ND: Any) -> None:
        """See `Engine.build`."""
        self._start()
        all_spans = spans(len(vectors_ND))
        for first in range(0, len(vectors_ND), BLOCK):
            rows = slice(first, first + BLOCK)
            keys = np.arange(first, first + len(vectors_ND[rows]))
            self.gallery.upsert(keys, np.asarray(vectors_ND[rows], dtype=np.float32), all_spans[rows])
        self.gallery.flush()  # type: ignore[attr-defined]
        self._wait_until_indexed(len(vectors_ND))
        self.gallery.close()

    def open(self, vectors_ND: Any) -> None:
        """Start the server on its data."""
        self._start()

    def set_effort(self, effort: int) -> None:
        """See `Engine.set_effort`."""
        self.gallery.close()
        hnsw = HnswSettings(links=LINKS, ef_construction=EF_CONSTRUCTION, ef_search=effort)
        self.gallery = MilvusGallery(self.dim, GallerySettings(url=self.url, hnsw=hnsw), space=_SPACE)

    def _start(self) -> None:
        try:
            self.url, self.process = self.stack.enter_context(milvus_server(self.folder / "data"))
        except MilvusServerError as error:
            raise NotBuiltError(str(error)) from error
        self.set_effort(EFFORTS[0])

    def _wait_until_indexed(self, num_vectors: int) -> None:
        """Milvus builds its graphs after it has answered; until then it would scan."""
        client: Any = MilvusClient(self.url)
        (collection,) = client.list_collections()
        end = time.monotonic() + _INDEXED_WITHIN_S
        while time.monotonic() < end:
            state = client.describe_index(collection, "vector")
            if state["indexed_rows"] >= num_vectors and state["pending_index_rows"] == 0:
                client.close()
                return
            time.sleep(1.0)
        raise NotBuiltError(f"Milvus did not index {num_vectors} vectors within {_INDEXED_WITHIN_S:.0f} s")


ENGINES: dict[str, Callable[[Path, int, ExitStack], Engine]] = {
    OURS: LocalEngine,
    "faiss_scan": FaissScan,
    "faiss_ivf": FaissClusters,
    "faiss_hnsw": FaissGraph,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "milvus": MilvusEngine,
}
