"""The picture beside `results/search.json`: latency against recall of each engine, a panel for each size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.instruments.search.engines import ENGINES, OURS

_AIMS = {200_000: (0.99, 10.0), 1_000_000: (0.97, 20.0)}
"""Least recall and most p99, ms."""


def plot_search(path: Path, table: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> None:
    """Draw a line for each engine, its efforts as points; what is wanted is shaded.

    Args:
        path: PNG file to write.
        table: Measurements by size and engine, as in the results file.
    """
    figure = Figure(figsize=(4.6 * len(table), 4.4), layout="constrained")
    panels = figure.subplots(1, len(table), squeeze=False, sharey=True)[0]
    for axes, (size, measured) in zip(panels, table.items(), strict=True):
        axes.set_title(f"{size:,} vectors")
        for engine, found in measured.items():
            if "settings" in found:
                _draw_engine(axes, engine, list(found["settings"].values()))
        if size in _AIMS:
            recall, latency_ms = _AIMS[size]
            axes.fill_between([recall, 1.0], 0.2, latency_ms, color="tab:green", alpha=0.1, linewidth=0)
        axes.set(yscale="log", xlabel="recall@10", xlim=(0.7, 1.01))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.grid(visible=True, which="both", alpha=0.25)
    panels[0].set_ylabel("p99 of one search, ms")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def _draw_engine(axes: Any, engine: str, settings: list[Mapping[str, float]]) -> None:
    settings = sorted(settings, key=lambda figures: figures["recall10"])
    recalls, latencies = ([figures[key] for figures in settings] for key in ("recall10", "p99_ms"))
    is_ours = engine == OURS
    style = {"marker": "*", "markersize": 14, "zorder": 3} if is_ours else {"marker": "o", "markersize": 4}
    colour = f"C{list(ENGINES).index(engine)}"
    axes.plot(recalls, latencies, label="Osprey" if is_ours else engine, color=colour, **style)
