"""Indexes that our gallery is compared with: plain faiss ones, hnswlib and usearch.

All graphs have 32 links and are built with 200 candidates in view; their *effort* is how many are in view in a search.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from reid.types import FloatArray, IntArray

LINKS, EF_CONSTRUCTION = 32, 200
EFFORTS = (32, 64, 128, 256)
BLOCK = 20_000
_THREADS = 2
_LISTS, _PROBES = 1024, (16, 32, 64, 128)
_TRAINING_ROWS = 64 * _LISTS

_faiss: Any = faiss  # its stubs lack some constructors


class NotBuiltError(Exception):
    """An engine cannot be had here."""


class FaissScan:
    """faiss, all vectors compared: `SQfp16`."""

    efforts: tuple[int, ...] = (0,)
    process = 0

    def __init__(self, folder: Path, dim: int, stack: ExitStack) -> None:
        self.path, self.dim = str(folder / "index.faiss"), dim
        self.index: Any = None

    def build(self, vectors_ND: Any) -> None:
        """See `Engine.build`."""
        faiss.omp_set_num_threads(_THREADS)
        self.index = self._trained(vectors_ND)
        for first in range(0, len(vectors_ND), BLOCK):
            self.index.add(np.asarray(vectors_ND[first : first + BLOCK], dtype=np.float32))
        faiss.write_index(self.index, self.path)

    def open(self, vectors_ND: Any) -> None:
        """See `Engine.open`."""
        self.index = faiss.read_index(self.path)

    def set_effort(self, effort: int) -> None:
        """There is but one."""

    def search(self, query_D: FloatArray, top: int) -> IntArray:
        """See `Engine.search`."""
        rows: IntArray = self.index.search(query_D[np.newaxis], top)[1][0]
        return rows

    def _trained(self, vectors_ND: Any) -> Any:
        return _faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


class FaissClusters(FaissScan):
    """faiss, an inverted file: `IVF1024,SQfp16`; the effort is the lists that are scanned."""

    efforts: tuple[int, ...] = _PROBES

    def set_effort(self, effort: int) -> None:
        """See `Engine.set_effort`."""
        self.index.nprobe = effort

    def _trained(self, vectors_ND: Any) -> Any:
        lists = min(_LISTS, len(vectors_ND) // 40)
        index = _faiss.index_factory(self.dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        sample = vectors_ND[:: max(1, len(vectors_ND) // _TRAINING_ROWS)]
        index.train(np.asarray(sample, dtype=np.float32))
        return index


class FaissGraph(FaissScan):
    """faiss, a graph over halves: `IndexHNSWSQ`."""

    efforts: tuple[int, ...] = EFFORTS

    def set_effort(self, effort: int) -> None:
        """See `Engine.set_effort`."""
        self.index.hnsw.efSearch = effort

    def _trained(self, vectors_ND: Any) -> Any:
        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        index = _faiss.IndexHNSWSQ(self.dim, kind, LINKS, metric)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        return index


class Hnswlib:
    """hnswlib, vectors in float32."""

    efforts: tuple[int, ...] = EFFORTS
    process = 0

    def __init__(self, folder: Path, dim: int, stack: ExitStack) -> None:
        self.path = str(folder / "index.bin")
        self.index: Any = _import("hnswlib").Index("ip", dim)

    def build(self, vectors_ND: Any) -> None:
        """See `Engine.build`."""
        self.index.init_index(len(vectors_ND), M=LINKS, ef_construction=EF_CONSTRUCTION)
        for first in range(0, len(vectors_ND), BLOCK):
            block = np.asarray(vectors_ND[first : first + BLOCK], dtype=np.float32)
            self.index.add_items(block, np.arange(first, first + len(block)), num_threads=_THREADS)
        self.index.save_index(self.path)

    def open(self, vectors_ND: Any) -> None:
        """See `Engine.open`."""
        self.index.load_index(self.path)

    def set_effort(self, effort: int) -> None:
        """See `Engine.set_effort`."""
        self.index.set_ef(effort)

    def search(self, query_D: FloatArray, top: int) -> IntArray:
        """See `Engine.search`."""
        rows: IntArray = self.index.knn_query(query_D, k=top, num_threads=1)[0][0].astype(np.int64)
        return rows


class Usearch:
    """usearch, vectors in halves."""

    efforts: tuple[int, ...] = EFFORTS
    process = 0

    def __init__(self, folder: Path, dim: int, stack: ExitStack) -> None:
        self.path = str(folder / "index.usearch")
        self.index: Any = _import("usearch.index").Index(
            ndim=dim, metric="ip", dtype="f16", connectivity=LINKS, expansion_add=EF_CONSTRUCTION
        )

    def build(self, vectors_ND: Any) -> None:
        """See `Engine.build`."""
        for first in range(0, len(vectors_ND), BLOCK):
            block = np.asarray(vectors_ND[first : first + BLOCK])
            self.index.add(np.arange(first, first + len(block)), block, threads=_THREADS)
        self.index.save(self.path)

    def open(self, vectors_ND: Any) -> None:
        """See `Engine.open`."""
        self.index.load(self.path)

    def set_effort(self, effort: int) -> None:
        """See `Engine.set_effort`."""
        self.index.expansion_search = effort

    def search(self, query_D: FloatArray, top: int) -> IntArray:
        """See `Engine.search`."""
        rows: IntArray = self.index.search(query_D, top, threads=1).keys.astype(np.int64)
        return rows


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotBuiltError(f"{module} is not installed ({error})") from error
