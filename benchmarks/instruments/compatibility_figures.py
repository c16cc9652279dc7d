"""How well new queries find old embeddings: figures of `benchmarks.compatibility`, a table and a plot of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from benchmarks.instruments.retrieval import (
    EmbeddedPeople,
    Gallery,
    first_answers,
    mean_average_precision,
    negative_flip_rate,
)
from reid.alignment import align
from reid.types import FloatArray

Level = Literal["", "_tracklets"]
"""What is searched, as the end of a figure's name: crops, or means of tracklets."""
LEVELS: tuple[Level, ...] = ("", "_tracklets")
WAYS = ("none", "alignment", "term", "both")
"""What is done for the comparison of new queries with old embeddings."""


@dataclass(frozen=True)
class Candidate:
    """The test in the space of an adapted release.

    Attributes:
        people: Embedded by it.
        alignment: (D, D) float32 from the parent's space.
    """

    people: EmbeddedPeople
    alignment: FloatArray


def figures_of(old: EmbeddedPeople, plain: Candidate, held: Candidate) -> dict[str, float]:
    """All figures of one seed: mAP in percent, gains and rates as shares.

    Args:
        old: The test in the parent's space.
        plain: In that of the run without the compatibility term.
        held: In that of the run with it.
    """
    figures: dict[str, float] = {}
    for level in LEVELS:
        figures |= {f"{name}{level}": value for name, value in _figures_at(level, old, plain, held).items()}
    return figures


def table(figures: Mapping[str, float]) -> str:
    """Cross-test scores and update gains, as Markdown."""
    lines = [
        "| new queries, old gallery | mAP, crops | update gain | mAP, tracklets | update gain |",
        "|---|---|---|---|---|",
    ]
    for way in WAYS:
        cells = (
            f"{figures[f'cross_{way}_map{level}']:.1f} | {figures[f'update_gain_{way}{level}']:.2f}" for level in LEVELS
        )
        lines.append(f"| {way} | {' | '.join(cells)} |")
    for name in ("old_old_map", "new_new_plain_map", "new_new_term_map"):
        lines.append(f"| {name} | {' | | '.join(f'{figures[name + level]:.1f}' for level in LEVELS)} | |")
    return "\n".join(lines)


def plot_compatibility(path: Path, figures: Mapping[str, float]) -> None:
    """Draw the cross-test scores as bars between the lines of old alone and new alone.

    Args:
        path: PNG file to write.
        figures: See `figures_of`.
    """
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, level, name in zip(figure.subplots(1, 2), LEVELS, ("crops", "means of tracklets"), strict=True):
        axes.bar(WAYS, [figures[f"cross_{way}_map{level}"] for way in WAYS], color="C0", width=0.6)
        lines = (("old_old_map", "old alone", "C3"), ("new_new_plain_map", "new alone", "C2"))
        for key, label, colour in (*lines, ("new_new_term_map", "new alone, with the term", "C1")):
            axes.axhline(figures[f"{key}{level}"], color=colour, linestyle="--", linewidth=1.2, label=label)
        axes.set_title(f"gallery of {name}", fontsize=10)
        axes.set_ylabel("mAP of new queries in the old gallery, %")
        axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)


def _figures_at(level: Level, old: EmbeddedPeople, plain: Candidate, held: Candidate) -> dict[str, float]:
    old_sides = _sides(level, old)
    old_old = mean_average_precision(*old_sides)
    new_plain, new_term = (mean_average_precision(*_sides(level, one.people)) for one in (plain, held))
    figures = {
        "old_old_map": old_old,
        "new_new_plain_map": new_plain,
        "new_new_term_map": new_term,
        "new_new_loss_points": new_plain - new_term,
        "negative_flip_rate": _flips(old_sides, _sides(level, held.people)),
    }
    for way, candidate, is_aligned in zip(WAYS, (plain, plain, held, held), (False, True, False, True), strict=True):
        searched = _aligned(old_sides[1], candidate.alignment) if is_aligned else old_sides[1]
        asks = _sides(level, candidate.people)[0]
        cross = mean_average_precision(asks, searched)
        figures[f"cross_{way}_map"] = cross
        figures[f"update_gain_{way}"] = (cross - old_old) / (new_plain - old_old)
        figures[f"cross_{way}_negative_flip_rate"] = _flips(old_sides, (asks, searched))
    return figures


def _sides(level: Level, people: EmbeddedPeople) -> tuple[Gallery, Gallery]:
    """What asks, and what is searched."""
    return (people.tracklets, people.tracklets) if level else (people.query, people.gallery)


def _aligned(gallery: Gallery, alignment: FloatArray) -> Gallery:
    return align(gallery[0], alignment), gallery[1]


def _flips(before: tuple[Gallery, Gallery], after: tuple[Gallery, Gallery]) -> float:
    return negative_flip_rate(first_answers(*before), first_answers(*after))


def mean_figures(of_seeds: list[dict[str, float]]) -> dict[str, float]:
    """Means over seeds, and how far apart the main figures of several seeds are."""
    means = {name: float(np.mean([one[name] for one in of_seeds])) for name in of_seeds[0]}
    for name in ("cross_both_map", "new_new_plain_map", "new_new_term_map") if len(of_seeds) > 1 else ():
        values = [one[name] for one in of_seeds]
        means[f"{name}_spread"] = max(values) - min(values)
    return means
