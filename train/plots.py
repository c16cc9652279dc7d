"""Pictures of an adaptation run: its curves, and a projection of samples with the supports made from them.

No picture shows a person: points and lines only.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reid.files import write_atomic
from train.projection import Projection

_PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("loss", (("loss", "loss"), ("source_loss", "of the source"), ("target_loss", "of the site"))),
    ("clusters", (("num_clusters", "clusters"),)),
    (
        "share",
        (
            ("noise_share", "crops without a label"),
            ("cross_camera_share", "clusters that span cameras"),
            ("pair_precision", "pairs: precision"),
            ("pair_recall", "pairs: recall"),
            ("source_accuracy", "source crops named right"),
        ),
    ),
    (
        "score",
        (
            ("mAP", "mAP"),
            ("R1", "rank-1"),
            ("R5", "rank-5"),
            ("mA", "mA of attributes"),
            ("F1", "F1 of attributes"),
            ("error", "error"),
        ),
    ),
)
"""Axis label, and the figures drawn on it with their legend."""


def draw_curves(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Draw what a run reported each epoch.

    Args:
        path: PNG file to write; it may be looked at while the run goes on, so it is replaced whole.
        history: One line of figures per epoch; figures that a line lacks are left out of its curve,
            and a panel that has none is not drawn.
    """
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    for axes, (label, curves) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        if any(key in line for key, _ in curves for line in history):
            _draw_panel(axes, label, curves, history)
        else:
            axes.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    write_atomic(path, picture.getvalue())


def draw_projection(path: Path, projection: Projection) -> None:
    """Draw samples (dots) and their supports (crosses) of some clusters.

    Args:
        path: PNG file to write.
        projection: One colour for each of its labels.
    """
    figure = Figure(figsize=(7.0, 6.4), layout="constrained")
    axes = figure.subplots()
    # One colour per cluster, in the order of their labels; twenty differ well enough.
    colours = {label: f"C{number % 10}" for number, label in enumerate(np.unique(projection.labels_N))}
    parts = ((~projection.is_support_N, "o", "samples"), (projection.is_support_N, "x", "supports"))
    for rows, marker, name in parts:
        points, labels = projection.points_N2[rows], projection.labels_N[rows]
        axes.scatter(
            points[:, 0], points[:, 1], c=[colours[label] for label in labels], marker=marker, s=22, label=name
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{len(colours)} clusters, t-SNE on cosine distances")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def _draw_panel(
    axes: Axes, label: str, curves: Sequence[tuple[str, str]], history: Sequence[Mapping[str, Any]]
) -> None:
    for key, name in curves:
        points = [(line["epoch"], line[key]) for line in history if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
