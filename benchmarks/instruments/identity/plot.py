"""The picture beside `results/identity.json`: precision against recall as the threshold moves, and the one served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.instruments.identity.scores import SceneScores

Curve = Sequence[tuple[float, SceneScores]]
"""Threshold and scores."""


def plot_curves(path: Path, curves: Mapping[str, Mapping[str, Curve]], served: Mapping[str, float]) -> None:
    """Draw one panel for each scene, one line for each way.

    Args:
        path: PNG file to write.
        curves: By scene, by way.
        served: The server's threshold by scene; ringed on the lines that have it.
    """
    figure = Figure(figsize=(4.2 * len(curves), 4.0), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (scene, ways) in zip(panels, curves.items(), strict=True):
        for way, curve in ways.items():
            (line,) = axes.plot(
                [scores.recall for _, scores in curve],
                [scores.precision for _, scores in curve],
                "o-",
                markersize=3,
                linewidth=1.2,
                label=f"{way}, IDF1 up to {max(scores.idf1 for _, scores in curve):.2f}",
            )
            for scores in (scores for threshold, scores in curve if threshold == served[scene]):
                axes.plot(scores.recall, scores.precision, "o", markersize=11, fillstyle="none", color=line.get_color())
        axes.set(title=scene, xlabel="pairwise recall", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False, fontsize="small", loc="upper right")
    panels[0].set_ylabel("pairwise precision")
    figure.suptitle("Identities across cameras as the threshold moves; ringed: the threshold served", fontsize="medium")
    figure.savefig(path, dpi=130)
