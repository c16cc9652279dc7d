"""Pseudo labels from embeddings: our sparse Jaccard distances and DBSCAN, against dense N x N matrices.

Both follow the same definition and must give the same labels. Embeddings are made (15 crops a person, 512 numbers, see
`instruments/camera_biased.py`), so that any size can be had; every measurement runs in a process of its own, so that
peak memory is its own. Beyond `EXACT_LIMIT` neighbours are approximate, and the table has their recall.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.growth_plot import plot_growth
from reid.neighbours import EXACT_LIMIT
from reid.types import IntArray

NAME = "neighbours"
COMPARED = 12_000
_QUICK_COMPARED = 3_000
_SIZES = (3_000, 6_000, 12_000, 24_000, 48_000, 100_000, 200_000, 300_000, 1_000_000)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish and plot."""
    parser = flags(NAME, "Sparse against dense Jaccard distances and DBSCAN.")
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="largest number of samples")
    chosen = parser.parse_args(arguments)
    compared = _QUICK_COMPARED if chosen.quick else COMPARED
    larger = () if chosen.quick else [size for size in (*_SIZES, chosen.largest) if size <= chosen.largest]
    show = _ignore if chosen.json else _show
    with tempfile.TemporaryDirectory() as folder:
        dense_labels, dense = run("dense", compared, Path(folder))
        sparse_labels, sparse = run("sparse", compared, Path(folder))
        show({"num_samples": compared, **dense}, "dense")
        show({"num_samples": compared, **sparse}, "sparse")
        rows = [{"num_samples": compared, **sparse}]
        for size in sorted({*larger} - {compared}):
            rows.append({"num_samples": size, **run("sparse", size, Path(folder))[1]})
            show(rows[-1], "sparse")
    rows.sort(key=lambda row: row["num_samples"])
    suffix = f"{compared // 1000}k"
    figures = {
        "labels_identical": float(np.array_equal(dense_labels, sparse_labels)),
        f"speedup_{suffix}": dense["total_s"] / sparse["total_s"],
        f"memory_ratio_{suffix}": sparse["extra_mib"] / dense["extra_mib"],
    }
    details: dict[str, Any] = {"dense": {"num_samples": compared, **dense}, "sparse": rows}
    if len(rows) > 2:
        details["growth"] = growths(rows)
        figures.update({f"{key}_largest": rows[-1][key] for key in ("total_s", "extra_mib", "recall30")})
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


def growths(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Exponents p of the fits cost = a * size^p, of time and memory, where neighbours are exact and over all."""
    exact = [row for row in rows if row["num_samples"] <= EXACT_LIMIT]
    return {
        f"{key}_{name}": growth([row["num_samples"] for row in chosen], [row[key] for row in chosen])
        for key in ("total_s", "extra_mib")
        for name, chosen in (("exact", exact), ("all", rows))
    }


def growth(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent p of the fit cost = a * size^p."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _show(row: Mapping[str, float], kind: str) -> None:
    print(
        f"{kind:6} {row['num_samples']:9.0f} samples: neighbours {row['neighbours_s']:.2f} s, distances "
        f"{row['distances_s']:.2f} s, clustering {row['clustering_s']:.2f} s, {row['extra_mib']:.0f} MiB, "
        f"{row['num_clusters']:.0f} clusters, recall@30 {row['recall30']:.4f}",
        flush=True,
    )


def _ignore(row: Mapping[str, float], kind: str) -> None:
    """Instead of `_show`."""


if __name__ == "__main__":
    main()
