"""Check 3: other weights put into a built engine: how long it takes, whether they are right, what a swap stalls."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.gpu.needs import need_gpu
from benchmarks.instruments.latency.release import other_release
from benchmarks.instruments.latency.scene import draw_scene
from benchmarks.instruments.latency.swap import measure_swaps, ways_to_prepare
from edge.backends.tensorrt.embedder import open_tensorrt_embedder
from reid.embedder import OnnxEmbedder
from reid.errors import ReleaseMismatchError
from reid.release import Precision, Release, load_release

_LEAST_COSINE = 0.999
_SWAPS = 5
T = TypeVar("T")


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Refit and rebuild to the same weights, in fp32 and fp16, then swap under load both ways.

    Raises:
        MissingPartError: No GPU.
        ReleaseMismatchError: A refitted engine computes something else than a fresh one, as when a bias was dropped.
    """
    need_gpu()
    crops = draw_scene().crops
    wanted: tuple[Precision, ...] = ("fp32", "fp16")
    precisions = [precision for precision in wanted if precision in release.precisions]
    for precision in precisions:
        _compare(release, precision, folder / precision, crops, figures)
    _swap(release, precisions[-1], folder / "swaps", crops, figures, details)


def _compare(release: Release, precision: Precision, folder: Path, crops: Any, figures: dict[str, Any]) -> None:
    other = other_release(release, folder / "other" / "release", number=1)
    running = open_tensorrt_embedder(release, precision)
    refitted, refit_s = _timed(lambda: running.refitted(other))
    after = refitted.embed(crops)
    fresh, build_s = _timed(lambda: open_tensorrt_embedder(_elsewhere(other, folder / "fresh"), precision))
    figures[f"refit_ms_{precision}"] = refit_s * 1e3
    figures[f"build_ms_{precision}"] = build_s * 1e3
    rows = {"fresh": fresh.embed(crops), "onnxruntime": OnnxEmbedder(other).embed(crops)}
    for name, expected in rows.items():
        figures[f"refit_cosine_to_{name}_{precision}"] = float(np.sum(after * expected, axis=1).min())
    for embedder in (running, refitted, fresh):
        close: Callable[[], None] = embedder.close  # type: ignore[attr-defined]
        close()
    if min(figures[f"refit_cosine_to_{name}_{precision}"] for name in rows) < _LEAST_COSINE:
        raise ReleaseMismatchError(f"after a refit in {precision} other embeddings come out: {figures}")


def _swap(
    release: Release, precision: Precision, folder: Path, crops: Any, figures: dict[str, Any], details: dict[str, Any]
) -> None:
    for way, prepare in ways_to_prepare(open_tensorrt_embedder(release, precision), 0).items():
        numbers = range(1, _SWAPS + 1)
        releases = [other_release(release, folder / way / str(number) / "release", number=number) for number in numbers]
        embedder = open_tensorrt_embedder(release, precision)
        details[f"swap_{way}"] = measure_swaps(embedder, releases, crops, prepare, calm_s=2.0)
        figures[f"swap_gap_ms_{way}"] = details[f"swap_{way}"]["gap_ms"]
        figures[f"swap_failed_batches_{way}"] = details[f"swap_{way}"]["failed_batches"]


def _elsewhere(release: Release, folder: Path) -> Release:
    """A copy, beside which no engine is kept."""
    return load_release(shutil.copytree(release.folder, folder / "release"))


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began_s = time.monotonic()
    done = work()
    return done, time.monotonic() - began_s
