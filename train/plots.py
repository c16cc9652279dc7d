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
from sklearn.manifold import TSNE

from reid.files import write_atomic
from reid.types import FloatArray, IntArray

_PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("loss", (("loss", "loss"),)),
    ("clusters", (("num_clusters", "clusters"),)),
    (
        "share",
        (
            ("noise_share", "crops without a label"),
            ("cross_camera_share", "clusters that span cameras"),
            ("pair_precision", "pairs: precision"),
            ("pair_recall", "pairs: recall"),
        ),
    ),
    ("score", (("mAP", "mAP"), ("R1", "rank-1"), ("R5", "rank-5"))),
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


def draw_projection(
    path: Path, feats_ND: FloatArray, labels_N: IntArray, supports_SD: FloatArray, support_labels_S: IntArray
) -> None:
    """Draw samples (dots) and their supports (crosses) of some clusters in two dimensions, by t-SNE on cosines.

    Args:
        path: PNG file to write.
        feats_ND: Unit-norm float32.
        labels_N: int64 pseudo labels, one colour each.
        supports_SD: Unit-norm float32.
        support_labels_S: int64 pseudo labels of the supports.
    """
    both = np.concatenate([feats_ND, supports_SD])
    perplexity = float(min(30, max(2, (len(both) - 1) // 3)))
    flat = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0).fit_transform(both)
    figure = Figure(figsize=(7.0, 6.4), layout="constrained")
    axes = figure.subplots()
    # One colour per cluster, in the order of their labels; twenty differ well enough.
    colours = {label: f"C{number % 10}" for number, label in enumerate(np.unique(labels_N))}
    parts = (
        (flat[: len(feats_ND)], labels_N, "o", "samples"),
        (flat[len(feats_ND) :], support_labels_S, "x", "supports"),
    )
    for points, labels, marker, name in parts:
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
