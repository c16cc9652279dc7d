"""What chosen crops teach: figures of `benchmarks.crop_budget`, a table and a plot of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from matplotlib.figure import Figure

STRATEGIES = ("boundary", "diverse", "random")
ALL = "all"
"""Nothing is chosen: every crop is taken."""


class Point(NamedTuple):
    """One run.

    Attributes:
        strategy: How its crops were chosen.
        share: Budget, of all crops.
        seed: Of the choice and the run.
        num_crops: That were chosen.
        map_percent: On people whom nobody adapted on.
    """

    strategy: str
    share: float
    seed: int
    num_crops: int
    map_percent: float


def figures_of(direct: float, points: Sequence[Point]) -> dict[str, float]:
    """Means over seeds in percent, and of the gain that all crops bring, the share that each budget brings.

    Args:
        direct: Of the weights that all runs start from.
        points: The runs; without one on all crops no share can be told.
    """
    figures = {"map_direct": direct}
    means = _means(points)
    everything = means.get((ALL, 1.0))
    for (strategy, share), mean in sorted(means.items()):
        name = f"{strategy}_{round(100 * share)}" if strategy != ALL else ALL
        figures[f"map_{name}"] = mean
        if everything is not None and strategy != ALL:
            figures[f"gain_share_{name}"] = (mean - direct) / (everything - direct)
    return figures


def table(direct: float, points: Sequence[Point]) -> str:
    """MAP in percent by strategy and budget, means over seeds, as Markdown."""
    means = _means(points)
    shares = sorted({point.share for point in points})
    lines = [f"| mAP, % | {' | '.join(f'{share:.0%}' for share in shares)} |", f"|---|{'---|' * len(shares)}"]
    for strategy in sorted({point.strategy for point in points}):
        cells = (f"{means[strategy, share]:.1f}" if (strategy, share) in means else "" for share in shares)
        lines.append(f"| {strategy} | {' | '.join(cells)} |")
    return "\n".join([*lines, f"direct transfer: {direct:.1f}"])


def plot_budgets(path: Path, direct: float, points: Sequence[Point]) -> None:
    """Draw mAP by the number of crops: a line a strategy through the means, a mark a run.

    Args:
        path: PNG file to write.
        direct: Where all runs start.
        points: The runs.
    """
    means = _means(points)
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, strategy in enumerate(sorted({point.strategy for point in points} - {ALL})):
        mine = [point for point in points if point.strategy in (strategy, ALL)]
        axes.plot([100 * p.share for p in mine], [p.map_percent for p in mine], "o", color=f"C{number}", ms=4)
        shares = sorted({point.share for point in mine})
        values = [means.get((strategy, share), means.get((ALL, share), direct)) for share in shares]
        axes.plot([100 * share for share in shares], values, "-", color=f"C{number}", label=strategy, lw=1.2)
    axes.axhline(direct, color="grey", linestyle="--", linewidth=1.0, label="direct transfer")
    axes.set_xscale("log")
    percents = sorted({100 * point.share for point in points})
    axes.set_xticks(percents, [f"{percent:g}" for percent in percents])
    axes.minorticks_off()
    axes.set_xlabel("budget, % of all crops")
    axes.set_ylabel("mAP on unseen people, %")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    figure.savefig(path, dpi=130)


def _means(points: Sequence[Point]) -> dict[tuple[str, float], float]:
    keys = {(point.strategy, point.share) for point in points}
    return {key: fmean(point.map_percent for point in points if (point.strategy, point.share) == key) for key in keys}
