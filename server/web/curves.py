"""The curves of a training, in panels that share a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Epochs = Sequence[tuple[int, Mapping[str, float]]]
"""Number and figures of each epoch."""


class Curve(NamedTuple):
    """One figure over all epochs; None where an epoch has none."""

    name: str
    values: tuple[float | None, ...]


class Panel(NamedTuple):
    """Curves on one pair of axes; `name` is fit for a URL, `label` stands at the axis."""

    name: str
    title: str
    label: str
    unit: str
    curves: tuple[Curve, ...]


_PANELS: Sequence[tuple[str, str, str, str, Mapping[str, str]]] = (
    ("loss", "Loss", "loss", "", {"loss": "loss"}),
    ("clusters", "Clusters", "clusters", "", {"num_clusters": "clusters"}),
    (
        "shares",
        "How the crops cluster",
        "share",
        "%",
        {"noise_share": "crops without a cluster", "cross_camera_share": "clusters that span cameras"},
    ),
    ("scores", "Scores on labelled data", "score", "%", {"mAP": "mAP", "R1": "rank-1", "R5": "rank-5"}),
    ("time", "Time of an epoch", "time", "s", {"embed_s": "embed", "cluster_s": "cluster", "train_s": "train"}),
)
"""Name, title, axis, unit, and figures with the words for them. A figure that stands nowhere here comes last."""
_FURTHER = ("further", "Further figures of the method", "value", "")
_PASSED_OVER = ("duration_s", "eps")


def panels_of(epochs: Epochs) -> tuple[Panel, ...]:
    """Panels of what the epochs tell; none for what they do not."""
    known = {figure for *_, words in _PANELS for figure in words} | {*_PASSED_OVER}
    others = sorted({figure for _, figures in epochs for figure in figures} - known)
    plan = [*_PANELS, (*_FURTHER, {name: name.replace("_", " ") for name in others})]
    panels = (Panel(name, title, label, unit, _curves(epochs, unit, words)) for name, title, label, unit, words in plan)
    return tuple(panel for panel in panels if panel.curves)


def _curves(epochs: Epochs, unit: str, words: Mapping[str, str]) -> tuple[Curve, ...]:
    factor = 100.0 if unit == "%" else 1.0
    curves = (
        Curve(name, tuple(_scaled(figures.get(figure), factor) for _, figures in epochs))
        for figure, name in words.items()
    )
    return tuple(curve for curve in curves if any(value is not None for value in curve.values))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(factor * value, 6)
