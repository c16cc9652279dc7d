"""Search in a Milvus server, for galleries that outgrow this machine's memory.

Each space has an *alias*; behind it lies one collection, whose name ends in a number. `replace` fills the next
collection and then points the alias at it. One process writes: it addresses the collection by name, so that Milvus
lets it read what it wrote (session consistency). Others read by alias.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from reid.types import FloatArray, IntArray
from server.errors import GalleryError
from server.gallery.gallery import Hits
from server.gallery.settings import GallerySettings
from server.types import EVERYTHING, Scope

P = ParamSpec("P")
T = TypeVar("T")

_BLOCK = 2000
"""Vectors in one request; Milvus refuses messages above 64 MiB."""
_LARGEST_TOP = 16_384
"""Milvus refuses more hits."""
_CONSISTENCY = "Session"


def _explained(method: Callable[P, T]) -> Callable[P, T]:
    """Turn what Milvus raises in a method into GalleryError."""

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except MilvusException as error:
            raise GalleryError(f"Milvus: {method.__name__} failed: {error.message}") from error

    return wrapper


class MilvusGallery:
    """Implements `server.gallery.gallery.Gallery`.

    Args:
        dim: Numbers in a vector.
        settings: Where Milvus is, and the settings of its HNSW index.
        space: Space of the vectors; each has a collection of its own.

    Raises:
        GalleryError: Milvus cannot be reached.
    """

    @_explained
    def __init__(self, dim: int, settings: GallerySettings, *, space: str) -> None:
        self._dim = dim
        self._settings = settings
        self._client: Any = MilvusClient(
            settings.url, token=settings.token.get_secret_value(), timeout=settings.timeout_s
        )
        self._alias = _alias(space)
        self._lock = Lock()
        self._is_closed = False
        self._collection = self._find_collection()
        self._has_removed = False  # since the last read

    @_explained
    def __len__(self) -> int:
        """See `Gallery.__len__`."""
        with self._lock:
            return self._count(self._collection)

    @_explained
    def upsert(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """See `Gallery.upsert`."""
        with self._lock:
            self._write(self._collection, keys_N, vectors_ND, spans_N3)

    @_explained
    def remove(self, keys: Sequence[int]) -> None:
        """See `Gallery.remove`."""
        with self._lock:
            for first in range(0, len(keys), _BLOCK):
                block = [int(key) for key in keys[first : first + _BLOCK]]
                self._client.delete(self._collection, ids=block)
                self._has_removed = True

    @_explained
    def replace(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """See `Gallery.replace`."""
        with self._lock:
            following = f"{self._alias}_{_number(self._collection) + 1}"
            self._client.drop_collection(following)  # left by an attempt that failed
            self._create(following)
            self._write(following, keys_N, vectors_ND, spans_N3)
            self._client.alter_alias(following, self._alias)
            previous, self._collection = self._collection, following
            self._client.drop_collection(previous)

    @_explained
    def search(self, queries_QD: FloatArray, *, top: int, scope: Scope = EVERYTHING) -> Hits:
        """See `Gallery.search`."""
        top = min(top, _LARGEST_TOP)
        hits = Hits.none(len(queries_QD), top)
        if len(queries_QD) == 0:
            return hits
        with self._lock:
            answers = self._client.search(
                self._collection,
                list(np.ascontiguousarray(queries_QD, dtype=np.float32)),
                limit=top,
                filter=_condition(scope),
                search_params={"metric_type": "IP", "params": {"ef": max(self._settings.hnsw.ef_search, top)}},
                consistency_level=self._read_consistency(),
            )
        for query, answer in enumerate(answers):
            hits.keys_QK[query, : len(answer)] = [hit.id for hit in answer]
            hits.similarities_QK[query, : len(answer)] = [hit.distance for hit in answer]
        return hits

    @_explained
    def flush(self) -> None:
        """Wait until Milvus has put everything into finished segments, which it then indexes."""
        with self._lock:
            self._client.flush(self._collection)

    @_explained
    def drop(self) -> None:
        """See `Gallery.drop`."""
        with self._lock:
            if not self._is_closed:
                self._client.drop_alias(self._alias)
                self._client.drop_collection(self._collection)
        self.close()

    def close(self) -> None:
        """See `Gallery.close`."""
        if not self._is_closed:
            self._is_closed = True
            self._client.close()

    def _find_collection(self) -> str:
        """The collection behind the alias; made when there is none."""
        named = [name for name in self._client.list_collections() if re.fullmatch(rf"{self._alias}_\d+", name)]
        for name in sorted(named, key=_number):
            if self._alias in self._client.describe_collection(name).get("aliases", ()):
                self._client.load_collection(name)
                return str(name)
        first = f"{self._alias}_{max(map(_number, named), default=0) + 1}"
        self._create(first)
        self._client.create_alias(first, self._alias)
        return first

    def _create(self, collection: str) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("prototype_key", DataType.INT64, is_primary=True)
        for name in ("camera_key", "start_us", "end_us"):
            schema.add_field(name, DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
        hnsw = {"M": self._settings.hnsw.links, "efConstruction": self._settings.hnsw.ef_construction}
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=hnsw)
        self._client.create_collection(collection, schema=schema, index_params=index, consistency_level=_CONSISTENCY)

    def _write(self, collection: str, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        for first in range(0, len(keys_N), _BLOCK):
            block = slice(first, first + _BLOCK)
            columns = keys_N[block].tolist(), vectors_ND[block].astype(np.float32), spans_N3[block].tolist()
            rows = [
                {"prototype_key": key, "vector": vector, "camera_key": span[0], "start_us": span[1], "end_us": span[2]}
                for key, vector, span in zip(*columns, strict=True)
            ]
            self._client.upsert(collection, rows)

    def _read_consistency(self) -> str:
        """Removals do not count for sessions: one strong read waits for them, and later ones find them done."""
        has_removed, self._has_removed = self._has_removed, False
        return "Strong" if has_removed else _CONSISTENCY

    def _count(self, collection: str) -> int:
        (row,) = self._client.query(
            collection, filter="", output_fields=["count(*)"], consistency_level=self._read_consistency()
        )
        return int(row["count(*)"])


def _alias(space: str) -> str:
    """Letters, digits and underscores only; the hash keeps apart what they make equal."""
    return f"osprey_{re.sub(r'[^A-Za-z0-9]', '_', space)[:100]}_{hashlib.sha256(space.encode()).hexdigest()[:12]}"


def _number(collection: str) -> int:
    return int(collection.rpartition("_")[2])


def _condition(scope: Scope) -> str:
    """The scope in Milvus's language; empty for everything."""
    if scope.is_everything:
        return ""
    conditions = [f"start_us <= {scope.end_us}", f"end_us >= {scope.start_us}"]
    if scope.start_us == EVERYTHING.start_us:
        conditions.pop()  # its parser does not take the least int64
    if scope.camera_keys:
        conditions.append(f"camera_key in {sorted(scope.camera_keys)}")
    return " and ".join(conditions)
