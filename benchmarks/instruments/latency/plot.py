"""The picture beside `results/latency.json`: times of crops to embeddings, and of frames to acknowledgements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.instruments.latency.rivals import COMPILED, EAGER


def plot_latency(path: Path, details: Mapping[str, Any]) -> None:
    """Draw three panels: the model alone, crops to embeddings, frame to acknowledgement.

    Args:
        path: PNG file to write.
        details: As in the results file.
    """
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_times(left, details["model"], "model alone", "")
    _draw_times(middle, details["crops"], "decoded frame to embeddings", details["best"])
    _draw_streams(right, details.get("streams", {}))
    left.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def _draw_times(axes: Any, by_batch: Mapping[str, Mapping[str, Any]], title: str, best: str) -> None:
    names = list(dict.fromkeys(name for times in by_batch.values() for name in times))
    for place, name in enumerate(names):
        batches = [batch for batch, times in by_batch.items() if name in times]
        spreads = [by_batch[batch][name] for batch in batches]
        is_rival = name in (EAGER, COMPILED) or "retail" in name
        axes.plot(
            [int(batch) for batch in batches],
            [spread["p50_ms"] / int(batch) for spread, batch in zip(spreads, batches, strict=True)],
            label=name,
            color=f"C{place}",
            linestyle="--" if is_rival else "-",
            linewidth=2.5 if name == best else 1.5,
            marker="o",
            markersize=4,
        )
    axes.set(title=title, xlabel="batch", ylabel="ms a crop, p50", xscale="log", yscale="log")
    axes.set_xticks([int(batch) for batch in by_batch], list(by_batch))
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True, which="both", alpha=0.25)


def _draw_streams(axes: Any, streams: Mapping[str, Mapping[str, Any]]) -> None:
    axes.set(title="frame to acknowledgement", xlabel="cameras", ylabel="ms")
    places = range(len(streams))
    for key, shade in (("max_ms", 0.25), ("p99_ms", 0.5), ("p90_ms", 0.75), ("p50_ms", 1.0)):
        heights = [run["frame"][key] for run in streams.values()]
        axes.bar(places, heights, width=0.6, color="C0", alpha=shade, label=key.removesuffix("_ms"))
    axes.set_xticks(list(places), list(streams))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
