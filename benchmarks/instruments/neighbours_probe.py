"""One measurement of `benchmarks.neighbours`, in a process of its own so that its peak memory is its own.

python -m benchmarks.instruments.neighbours_probe sparse|dense NUM_SAMPLES LABELS.npy
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from sklearn.cluster import DBSCAN

from benchmarks.instruments.camera_biased import DIM, views
from benchmarks.instruments.dense_jaccard import dense_jaccard
from reid.clustering import dbscan, renumber
from reid.embedding import normalise
from reid.neighbours import Neighbours, jaccard_graph, jaccard_of_neighbours, nearest_neighbours
from reid.types import FloatArray, IntArray

EPS = 0.5
CROPS_PER_PERSON = 15
_K1 = 30
_RECALL_QUERIES = 1000
_BLOCK = 20_000


def made_people(num_samples: int) -> FloatArray:
    """Embeddings of persons, 15 crops each, in random order: (N, 512) float32, unit norm."""
    persons = np.random.default_rng(0).permutation(num_samples) // CROPS_PER_PERSON
    feats = np.empty((num_samples, DIM), dtype=np.float32)
    for first in range(0, num_samples, _BLOCK):
        feats[first : first + _BLOCK] = views(persons[first : first + _BLOCK], seed=first + 1)
    return feats


def measure(kind: str, feats: FloatArray) -> tuple[IntArray, dict[str, float]]:
    """Labels, and what they cost; `recall30` is measured afterwards."""
    started_kib = _reset_peak_kib()
    started_s = searched_s = time.perf_counter()
    near: Neighbours | None = None
    if kind == "sparse":
        near = nearest_neighbours(feats, _K1)
        searched_s = time.perf_counter()
        graph = jaccard_of_neighbours(feats, near, k1=_K1, max_distance=EPS)
        graphed_s = time.perf_counter()
        labels = dbscan(graph, eps=EPS)
    else:  # its search for neighbours counts among the distances
        distances = dense_jaccard(feats, k1=_K1)
        graphed_s = time.perf_counter()
        labels = renumber(DBSCAN(eps=EPS, min_samples=4, metric="precomputed").fit_predict(distances).astype(np.int64))
    ended_s, extra_mib = time.perf_counter(), (_peak_kib() - started_kib) / 1024
    cost = {
        "neighbours_s": searched_s - started_s,
        "distances_s": graphed_s - searched_s,
        "clustering_s": ended_s - graphed_s,
        "total_s": ended_s - started_s,
        "extra_mib": extra_mib,
        "num_clusters": float(labels.max() + 1),
        "recall30": 1.0 if near is None or near.is_exact else _recall(feats, near),
    }
    return labels, cost


def _recall(feats: FloatArray, near: Neighbours) -> float:
    """Share of the true nearest 30 that were found, over some samples, which are in random order."""
    true = np.asarray(faiss.knn(feats[:_RECALL_QUERIES], feats, _K1, metric=faiss.METRIC_INNER_PRODUCT)[1])
    pairs = zip(near.indices_NK[:_RECALL_QUERIES].tolist(), true.tolist(), strict=True)
    return float(np.mean([len(set(found) & set(wanted)) / _K1 for found, wanted in pairs]))


def _reset_peak_kib() -> int:
    """Forget the peak so far, which making the data set, and give back what it left; returns what is in use now."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_kib()


def _peak_kib() -> int:
    """Most memory in use since the last reset (Linux: VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Measure once, write the labels, print the cost."""
    kind, num_samples, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    jaccard_graph(normalise(np.eye(40, DIM) + 0.5), max_distance=EPS)  # compiles, outside the measurement
    labels, cost = measure(kind, made_people(num_samples))
    np.save(path, labels)
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
