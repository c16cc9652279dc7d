"""The picture beside `results/bandwidth.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure


def plot_bandwidth(path: Path, cameras: Mapping[str, Mapping[str, float]]) -> None:
    """Draw bytes an hour of every camera, embeddings beside video.

    Args:
        path: PNG file to write.
        cameras: The figures of `benchmarks.bandwidth.per_hour`, by source.
    """
    figure = Figure(figsize=(7.0, 1.1 + 0.7 * len(cameras)), layout="constrained")
    axes = figure.subplots()
    rows = range(len(cameras))
    for offset, keys, label in (
        (-0.27, ("h264_bytes_per_camera_hour",), "H.264 video"),
        (0.0, ("embedding_bytes_per_camera_hour",), "Osprey embeddings"),
        (0.27, ("crop_bytes_per_camera_hour", "weight_bytes_per_camera_hour"), "crops and weights of refreshes"),
    ):
        megabytes = [sum(figures[key] for key in keys) / 1e6 for figures in cameras.values()]
        bars = axes.barh([row + offset for row in rows], megabytes, height=0.25, label=label)
        axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    times = [f"{name}\n{figures['ratio_with_refreshes']:.0f} times less" for name, figures in cameras.items()]
    axes.set_yticks(list(rows), times)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("megabytes per camera and hour")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
