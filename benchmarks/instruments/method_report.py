"""What `benchmarks.method_table` and `benchmarks.ablations` show of their runs: figures, a table, a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from benchmarks.instruments.command_runs import SCORES, CommandRun

Scores = Mapping[str, float]
"""mAP, R1 and R5 in percent."""
Runs = Mapping[str, Sequence[CommandRun]]
"""Complete runs by name, one for each seed."""
_AS_FIGURES = {"mAP": "map", "R1": "r1", "R5": "r5"}


def by_name(runs: Sequence[CommandRun]) -> tuple[Runs, list[str]]:
    """Complete runs by name, and the names and seeds of those that are not."""
    complete: dict[str, list[CommandRun]] = {}
    missing = []
    for run in runs:
        if run.is_complete:
            complete.setdefault(run.name, []).append(run)
        else:
            missing.append(f"{run.name}-{run.seed}")
    return complete, missing


def figures_of(direct: Scores | None, runs: Runs) -> dict[str, float]:
    """Means over seeds, and how far apart their mAP is where there are several."""
    figures = {} if direct is None else {f"{_AS_FIGURES[name]}_direct": value for name, value in direct.items()}
    for name, seeds in runs.items():
        key = name.replace("-", "_")
        figures |= {f"{_AS_FIGURES[score]}_{key}": _mean(seeds, score) for score in SCORES}
        figures[f"minutes_{key}"] = fmean(run.cost.minutes for run in seeds)
        figures[f"peak_mib_{key}"] = max(run.cost.peak_mib for run in seeds)
        if len(seeds) > 1:
            figures[f"map_{key}_spread"] = max(_scored(seeds, "mAP")) - min(_scored(seeds, "mAP"))
    return figures


def table(direct: Scores | None, runs: Runs) -> str:
    """Scores in percent, as Markdown: a line for each method, mean over seeds, each seed's mAP behind it."""
    lines = ["| | mAP | R1 | R5 | mAP by seed | minutes | peak MiB |", "|---|---|---|---|---|---|---|"]
    if direct is not None:
        lines.append(f"| direct transfer | {' | '.join(f'{direct[name]:.1f}' for name in SCORES)} | | | |")
    for name, seeds in runs.items():
        means = " | ".join(f"{_mean(seeds, score):.1f}" for score in SCORES)
        each = ", ".join(f"{score:.1f}" for score in _scored(seeds, "mAP"))
        minutes, peak = fmean(run.cost.minutes for run in seeds), max(run.cost.peak_mib for run in seeds)
        lines.append(f"| {name} | {means} | {each} | {minutes:.0f} | {peak:.0f} |")
    return "\n".join(lines)


def plot_methods(path: Path, direct: Scores | None, runs: Runs, *, test: str) -> None:
    """Draw mAP and rank-1 after the last epoch: a bar for the mean of each method, a dot for each seed.

    Args:
        path: PNG file to write.
        direct: A dashed line, where there is one.
        runs: In the order of the bars.
        test: Whom they were scored on, for the axis.
    """
    figure = Figure(figsize=(10.0, 1.6 + 0.42 * max(4, len(runs))), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2, sharey=True), ("mAP", "R1"), strict=True):
        for place, seeds in enumerate(runs.values()):
            values = _scored(seeds, score)
            axes.barh(place, fmean(values), height=0.62, color="C0", alpha=0.55)
            axes.plot(values, [place] * len(values), "o", color="C0", ms=4)
            mean = fmean(values)
            axes.annotate(f"{mean:.1f}", (mean, place), (4, 6), textcoords="offset points", fontsize=8)
        if direct is not None:
            axes.axvline(direct[score], color="C3", ls="--", lw=1.2, label=f"direct transfer, {direct[score]:.1f}")
            axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        axes.margins(x=0.1)  # for the numbers beside the bars
        axes.set_yticks(range(len(runs)), list(runs))
        axes.set_xlabel(f"{'rank-1' if score == 'R1' else score}, % on {test}")
        axes.grid(visible=True, axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()  # the first at the top; shared by both
    figure.savefig(path, dpi=130)


def _scored(runs: Sequence[CommandRun], score: str) -> list[float]:
    return [run.scores[score] for run in runs]


def _mean(runs: Sequence[CommandRun], score: str) -> float:
    return fmean(_scored(runs, score))
