"""The picture beside `results/neighbours.json`: time and memory against the number of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def plot_growth(path: Path, rows: Sequence[Mapping[str, Any]], dense: tuple[int, float, float]) -> None:
    """Draw sparse costs as lines and the dense one as a point.

    Args:
        path: PNG file to write.
        rows: num_samples, total_s and extra_mib of each sparse measurement.
        dense: The same three of the dense one.
    """
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    panels = (("total_s", "seconds", dense[1]), ("extra_mib", "extra memory, MiB", dense[2]))
    for axes, (key, label, dense_value) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.loglog([row["num_samples"] for row in rows], [row[key] for row in rows], "o-", label="sparse (Osprey)")
        axes.loglog([dense[0]], [dense_value], "s", label="dense N x N")
        axes.set_xlabel("samples")
        axes.set_ylabel(label)
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
