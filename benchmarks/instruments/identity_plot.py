"""The picture beside `results/identity.json`: precision against recall as the threshold moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.instruments.identity_scores import SceneScores

Curve = Sequence[tuple[float, SceneScores]]
"""Threshold and scores."""


def plot_curves(path: Path, curves: Mapping[str, Mapping[str, Curve]]) -> None:
    """Draw one panel for each scene, one line for each way.

    Args:
        path: PNG file to write.
        curves: By scene, by way.
    """
    figure = Figure(figsize=(4.2 * len(curves), 3.8), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (scene, ways) in zip(panels, curves.items(), strict=True):
        for way, curve in ways.items():
            axes.plot([s.recall for _, s in curve], [s.precision for _, s in curve], "o-", markersize=3, label=way)
        axes.set(title=scene, xlabel="pairwise recall", ylabel="pairwise precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
