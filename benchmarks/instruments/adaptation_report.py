"""What `benchmarks.adaptation` shows: figures over seeds, a table by epoch beside published code's, and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

SCORES = ("mAP", "R1", "R5")
TABLE_EPOCHS = (5, 10, 15, 20)

Scores = tuple[float, float, float]
"""mAP, rank-1 and rank-5 in percent."""
Curves = Mapping[str, Mapping[int, Mapping[int, Scores]]]
"""Scores by method, seed and epoch."""

REFERENCE_DIRECT: Scores = (36.8, 57.0, 74.9)
REFERENCE: Curves = {
    "cluster-contrast": {
        1: {5: (46.6, 63.9, 78.2), 10: (50.8, 67.5, 82.3), 15: (54.6, 70.9, 83.4), 20: (56.5, 72.7, 84.9)},
        2: {5: (50.6, 67.9, 81.4), 10: (53.9, 70.1, 82.6), 15: (56.8, 72.8, 84.0), 20: (58.3, 73.0, 85.3)},
    },
    "ise-released": {
        1: {5: (50.5, 68.3, 80.1), 10: (51.8, 69.5, 83.1), 15: (57.3, 73.1, 86.0), 20: (59.0, 74.3, 87.0)}
    },
    "supervised": {1: {5: (64.1, 77.9, 92.0), 10: (71.1, 83.2, 94.3), 15: (74.8, 85.0, 94.9), 20: (76.3, 86.7, 95.5)}},
}
"""The authors' code around the same network on the same task and budget, measured once on 2 cores."""


def percent(scores: Mapping[str, Any]) -> Scores:
    """Scores in percent, of a line of figures that has them."""
    mAP, r1, r5 = (100 * float(scores[name]) for name in SCORES)
    return mAP, r1, r5


def curve_of(history: Iterable[Mapping[str, Any]]) -> dict[int, Scores]:
    """Scores by epoch, of the epochs of a run that were scored."""
    return {int(line["epoch"]): percent(line) for line in history if "mAP" in line}


def figures_of(direct: Scores | None, curves: Curves, names: Mapping[str, str]) -> dict[str, float]:
    """Scores after the last epoch: means over seeds, and how far apart their mAP is where there are several.

    Args:
        direct: Of the weights that all runs start from.
        curves: Of the complete runs.
        names: What a method is called in a figure.
    """
    figures = {} if direct is None else {"map_direct": direct[0], "r1_direct": direct[1], "r5_direct": direct[2]}
    for method, by_seed in curves.items():
        last = [curve[max(curve)] for curve in by_seed.values()]
        for place, score in enumerate(("map", "r1", "r5")):
            figures[f"{score}_{names[method]}"] = fmean(scores[place] for scores in last)
        if len(last) > 1:
            figures[f"map_{names[method]}_spread"] = max(s[0] for s in last) - min(s[0] for s in last)
    return figures


def table(direct: Scores | None, curves: Curves) -> str:
    """Scores in percent by epoch, as Markdown; published code's rows follow ours."""
    longest = {max(curve) for by_seed in curves.values() for curve in by_seed.values()}
    epochs = sorted({*TABLE_EPOCHS, *longest})
    lines = [
        f"| mAP / R1 / R5, % | {' | '.join(f'epoch {epoch}' for epoch in epochs)} |",
        f"|---|{'---|' * len(epochs)}",
    ]
    starts = (("direct transfer", direct), ("direct transfer, published code", REFERENCE_DIRECT))
    lines += [_row(f"{name}: {_cell(scores)}", {}, epochs) for name, scores in starts if scores is not None]
    for method in [*curves, *(name for name in REFERENCE if name not in curves)]:
        lines += _rows(method, curves.get(method, {}), epochs)
        lines += [
            _row(f"{method}, published code, seed {seed}", curve, epochs)
            for seed, curve in REFERENCE.get(method, {}).items()
        ]
    return "\n".join(lines)


def plot_adaptation(path: Path, direct: Scores | None, curves: Curves) -> None:
    """Draw mAP and rank-1 by epoch: a line a seed, published code dashed.

    Args:
        path: PNG file to write.
        direct: Where all lines start.
        curves: Of the complete runs.
    """
    start = REFERENCE_DIRECT if direct is None else direct
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    for place, axes in enumerate(figure.subplots(1, 2)):
        for number, method in enumerate(curves):
            for source, style, word in ((curves, "o-", ""), (REFERENCE, "x--", ", published code")):
                for index, curve in enumerate(source.get(method, {}).values()):
                    points = {0: start, **curve}
                    label = f"{method}{word}" if index == 0 else None
                    values = [points[epoch][place] for epoch in sorted(points)]
                    axes.plot(sorted(points), values, style, color=f"C{number}", label=label, lw=1.2, ms=4)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{('mAP', 'rank-1')[place]}, % on market-500-251")
        axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)


def _rows(method: str, by_seed: Mapping[int, Mapping[int, Scores]], epochs: Sequence[int]) -> list[str]:
    rows = [_row(f"{method}, seed {seed}", curve, epochs) for seed, curve in by_seed.items()]
    if len(by_seed) > 1:
        rows.append(_row(f"**{method}, mean**", _mean(list(by_seed.values())), epochs))
    return rows


def _mean(curves: Sequence[Mapping[int, Scores]]) -> dict[int, Scores]:
    """Mean of the epochs that all seeds were scored after."""
    shared = set(curves[0]).intersection(*curves[1:])
    means: dict[int, Scores] = {}
    for epoch in shared:
        mAP, r1, r5 = (fmean(curve[epoch][place] for curve in curves) for place in range(3))
        means[epoch] = mAP, r1, r5
    return means


def _row(name: str, curve: Mapping[int, Scores], epochs: Sequence[int]) -> str:
    return f"| {name} | {' | '.join(_cell(curve[epoch]) if epoch in curve else '' for epoch in epochs)} |"


def _cell(scores: Scores) -> str:
    return " / ".join(f"{score:.1f}" for score in scores)
