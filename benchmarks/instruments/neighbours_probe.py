"""One measurement of `benchmarks.neighbours`, in a process of its own so that its peak memory is its own.

python -m benchmarks.instruments.neighbours_probe sparse|dense NUM_SAMPLES LABELS.npy
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import DBSCAN

from benchmarks.instruments.dense_jaccard import dense_jaccard
from reid.clustering import dbscan, renumber
from reid.embedding import normalise
from reid.neighbours import EXACT_LIMIT, jaccard_graph, nearest_neighbours
from reid.types import FloatArray, IntArray

EPS = 0.5
DIM = 512
CROPS_PER_PERSON = 15
_NOISE = 1.0
_RECALL_QUERIES = 1000


def made_people(num_samples: int, *, seed: int = 0) -> FloatArray:
    """Embeddings of persons, 15 crops each, in random order: (N, 512) float32, unit norm."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((num_samples // CROPS_PER_PERSON + 1, DIM), dtype=np.float32)
    feats = people[rng.permutation(num_samples) // CROPS_PER_PERSON]
    for start in range(0, num_samples, 1 << 16):  # in parts: the noise of a million would be 2 GB
        part = feats[start : start + (1 << 16)]
        part += _NOISE * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return feats


def measure(kind: str, feats: FloatArray) -> tuple[IntArray, dict[str, float]]:
    """Labels, and what they cost."""
    started_kib = _reset_peak_kib()
    started_s = time.perf_counter()
    if kind == "sparse":
        graph = jaccard_graph(feats, max_distance=EPS)
        graphed_s = time.perf_counter()
        labels = dbscan(graph, eps=EPS)
    else:
        distances = dense_jaccard(feats)
        graphed_s = time.perf_counter()
        labels = renumber(DBSCAN(eps=EPS, min_samples=4, metric="precomputed").fit_predict(distances).astype(np.int64))
    ended_s = time.perf_counter()
    cost = {
        "distances_s": graphed_s - started_s,
        "clustering_s": ended_s - graphed_s,
        "total_s": ended_s - started_s,
        "extra_mib": (_peak_kib() - started_kib) / 1024,
        "num_clusters": float(labels.max() + 1),
    }
    return labels, cost


def recall_at_30(feats: FloatArray) -> float:
    """Share of true nearest 30 that the search of this many samples finds, over some queries; 1 where it is exact."""
    if len(feats) <= EXACT_LIMIT:
        return 1.0
    found = nearest_neighbours(feats, 30).indices_NK[:_RECALL_QUERIES]
    true = np.argsort(-(feats[:_RECALL_QUERIES] @ feats.T), axis=1)[:, :30]
    return float(np.mean([len(set(a) & set(b)) / 30 for a, b in zip(found.tolist(), true.tolist(), strict=True)]))


def _reset_peak_kib() -> int:
    """Forget the peak so far, which making the data may have set; returns what is in use now."""
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
