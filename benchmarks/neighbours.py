"""Pseudo labels from embeddings: our sparse Jaccard distances and DBSCAN, against dense N x N matrices.

Both follow the same definition and must give the same labels. Embeddings are made (15 crops a person, 512 numbers), so
that any size can be had; every measurement runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.growth_plot import plot_growth
from reid.types import IntArray

NAME = "neighbours"
COMPARED = 12_000
_QUICK_COMPARED = 3_000
_SIZES = (3_000, 6_000, 12_000, 24_000, 48_000, 100_000, 200_000)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish and plot."""
    parser = flags(NAME, "Sparse against dense Jaccard distances and DBSCAN.")
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="largest number of samples; above 200k: HNSW")
    chosen = parser.parse_args(arguments)
    compared = _QUICK_COMPARED if chosen.quick else COMPARED
    with tempfile.TemporaryDirectory() as folder:
        dense_labels, dense = run("dense", compared, Path(folder))
        sparse_labels, sparse = run("sparse", compared, Path(folder))
        larger = () if chosen.quick else [size for size in (*_SIZES, chosen.largest) if size <= chosen.largest]
        table = {size: run("sparse", size, Path(folder))[1] for size in sorted({*larger} - {compared})}
    table[compared] = sparse
    rows = [{"num_samples": size, **table[size]} for size in sorted(table)]
    if not chosen.json:
        _show(rows, compared, dense)
    suffix = f"{compared // 1000}k"
    figures = {
        "labels_identical": float(np.array_equal(dense_labels, sparse_labels)),
        f"speedup_{suffix}": dense["total_s"] / sparse["total_s"],
        f"memory_ratio_{suffix}": sparse["extra_mib"] / dense["extra_mib"],
    }
    details: dict[str, Any] = {"dense": {"num_samples": compared, **dense}, "sparse": rows}
    if len(rows) > 2:
        details["growth_exponent"] = growth([row["num_samples"] for row in rows], [row["total_s"] for row in rows])
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)
    if not chosen.quick:
        plot_growth(RESULTS / f"{NAME}.png", rows, (compared, dense["total_s"], dense["extra_mib"]))


def run(kind: str, num_samples: int, folder: Path) -> tuple[IntArray, dict[str, float]]:
    """Labels and cost of one measurement.

    Raises:
        CalledProcessError: It failed, for example for want of memory; its error output was shown.
    """
    labels = folder / "labels.npy"
    command = [sys.executable, "-m", "benchmarks.instruments.neighbours_probe", kind, str(num_samples), str(labels)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return np.load(labels), json.loads(done.stdout.splitlines()[-1])


def growth(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent p of the fit cost = a * size^p."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _show(rows: Sequence[dict[str, Any]], compared: int, dense: dict[str, float]) -> None:
    print(f"{'samples':>9} {'distances s':>12} {'clustering s':>13} {'extra MiB':>10} {'clusters':>9}")
    for kind, size, row in [*(("", row["num_samples"], row) for row in rows), ("dense", compared, dense)]:
        print(
            f"{size:9} {row['distances_s']:12.2f} {row['clustering_s']:13.2f} {row['extra_mib']:10.0f} "
            f"{row['num_clusters']:9.0f} {kind}"
        )


if __name__ == "__main__":
    main()
