"""The picture beside `results/gate.json`: the gate's gain against the labelled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_COLOURS = {"good": "tab:green", "poisoned": "tab:red", "even": "tab:grey"}


def plot_verdicts(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw every candidate that was measured: filled where it was accepted.

    Args:
        path: PNG file to write.
        rows: parent, kind, is_accepted, gain_map (percent, or None) and gain_crossing (or None) of each candidate.
    """
    parents = list(dict.fromkeys(row["parent"] for row in rows))
    figure = Figure(figsize=(4.8 * len(parents), 4.2), layout="constrained")
    for axes, parent in zip(figure.subplots(1, len(parents), squeeze=False)[0], parents, strict=True):
        for kind, colour in _COLOURS.items():
            for is_accepted in (True, False):
                shown = [
                    (row["gain_map"], row["gain_crossing"])
                    for row in rows
                    if (row["parent"], row["kind"], row["is_accepted"]) == (parent, kind, is_accepted)
                    and None not in (row["gain_map"], row["gain_crossing"])
                ]
                if shown:
                    axes.scatter(
                        *zip(*shown, strict=True),
                        edgecolors=colour,
                        facecolors=colour if is_accepted else "none",
                        label=f"{kind}, {'accepted' if is_accepted else 'refused'}",
                    )
        axes.axhline(0, color="black", linewidth=0.6)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(f"parent: {parent}")
        axes.set_xlabel("labelled mAP, points over the parent")
        axes.set_ylabel("crossing without labels, over the parent")
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
