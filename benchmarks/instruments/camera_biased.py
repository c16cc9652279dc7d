"""Made embeddings as cameras give them: persons that form looks, seen through cameras that each bend the space.

Each of N prototypes is one person in one camera, about ten to a person. A person lies near one of some looks (what
people wear), in a space of far fewer directions than the embedding has numbers; each camera adds a direction.
Queries are further views of persons that the gallery holds. Rows are made in blocks: any size fits in memory.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from reid.types import FloatArray, IntArray

DIM = 512
NUM_CAMERAS = 50
_PROTOTYPES_PER_PERSON = 10
_INNER_DIM = 96
_LOOKS = 2000
_LOOK, _CAMERA, _NOISE = 0.8, 0.5, 0.6
"""How long the parts are, against a person's own part of 1."""
_GROUP = 100
_BLOCK = 20_000


def write_vectors(path: Path, num_vectors: int) -> None:
    """Write (N, 512) halves of unit norm as a .npy file, unless it is there."""
    if path.exists():
        return
    unfinished = path.with_suffix(".part")
    file = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=(num_vectors, DIM))
    for first in range(0, num_vectors, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, num_vectors))
        file[rows[0] : rows[-1] + 1] = views(rows % max(1, num_vectors // _PROTOTYPES_PER_PERSON), seed=first + 1)
    file.flush()
    unfinished.rename(path)


def queries(num_vectors: int, num_queries: int) -> FloatArray:
    """Views of persons among `num_vectors` prototypes, (Q, 512) of unit norm."""
    persons = np.random.default_rng(5).integers(0, max(1, num_vectors // _PROTOTYPES_PER_PERSON), num_queries)
    return views(persons, seed=0)


def spans(num_vectors: int) -> IntArray:
    """Where and when each prototype was seen, (N, 3)."""
    rows = np.arange(num_vectors, dtype=np.int64)
    return np.stack([rows % NUM_CAMERAS, 1000 * rows, 1000 * rows + 500], axis=1)


def views(persons: IntArray, *, seed: int) -> FloatArray:
    """One view of each person, in a camera drawn by chance: (N, 512), unit norm."""
    fixed, rng = np.random.default_rng(1), np.random.default_rng([7, seed])
    basis = fixed.standard_normal((_INNER_DIM, DIM)).astype(np.float32) / np.sqrt(DIM)
    looks = _units(fixed.standard_normal((_LOOKS, _INNER_DIM)))
    cameras = _units(fixed.standard_normal((NUM_CAMERAS, DIM)))
    inner = _units(_own_parts(persons)) + _LOOK * looks[persons % _LOOKS]
    noise = _units(rng.standard_normal((len(persons), DIM), dtype=np.float32))
    return _units(inner @ basis + _CAMERA * cameras[rng.integers(0, NUM_CAMERAS, len(persons))] + _NOISE * noise)


def exact_top(vectors_ND: npt.NDArray[np.float16], queries_QD: FloatArray, top: int) -> IntArray:
    """Rows of the `top` nearest of each query, (Q, top), in float32."""
    similarities = np.empty((len(queries_QD), 0), dtype=np.float32)
    rows = np.empty((len(queries_QD), 0), dtype=np.int64)
    for first in range(0, len(vectors_ND), _BLOCK):
        block = vectors_ND[first : first + _BLOCK].astype(np.float32)
        best, numbers = faiss.knn(queries_QD, block, top, metric=faiss.METRIC_INNER_PRODUCT)
        similarities, rows = np.hstack([similarities, best]), np.hstack([rows, numbers + first])
        kept = np.argsort(-similarities, axis=1)[:, :top]
        similarities, rows = np.take_along_axis(similarities, kept, 1), np.take_along_axis(rows, kept, 1)
    return rows


def _own_parts(persons: IntArray) -> FloatArray:
    """What makes each person differ from others of the same look; made for a group of persons at a time."""
    groups, group_of = np.unique(persons // _GROUP, return_inverse=True)
    parts = [np.random.default_rng([3, group]).standard_normal((_GROUP, _INNER_DIM)) for group in groups.tolist()]
    own: FloatArray = np.stack(parts)[group_of, persons % _GROUP].astype(np.float32)
    return own


def _units(rows: npt.NDArray[np.floating]) -> FloatArray:
    units: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units
