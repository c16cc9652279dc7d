"""Check 2: the golden crops, engine against ONNX Runtime, in every precision of the release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.needs import need_gpu
from benchmarks.instruments.latency.scene import draw_scene
from edge.backends.tensorrt.embedder import open_tensorrt_embedder, tensorrt_precisions
from reid.embedder import OnnxEmbedder
from reid.errors import ReleaseMismatchError
from reid.release import Precision, Release

LEAST_COSINES: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.98}


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Compare on the golden crops and on 32 others, in batches of 1 and of all.

    Raises:
        MissingPartError: No GPU.
        ReleaseMismatchError: An engine computes something else.
    """
    need_gpu()
    crops = np.concatenate([release.golden.crops, draw_scene().crops])
    expected = OnnxEmbedder(release).embed(crops)
    for precision in tensorrt_precisions(release):
        embedder = open_tensorrt_embedder(release, precision)
        at_once = embedder.embed(crops)
        singly = np.concatenate([embedder.embed(crops[row : row + 1]) for row in range(len(crops))])
        cosine = float(min(np.sum(one * expected, axis=1).min() for one in (at_once, singly)))
        figures[f"cosine_{precision}"] = cosine
        details[f"device_mb_{precision}"] = round(embedder.device_bytes / 1e6, 1)
        embedder.close()
    wrong = [name for name, least in LEAST_COSINES.items() if figures.get(f"cosine_{name}", 1.0) < least]
    if wrong:
        raise ReleaseMismatchError(f"cosines {figures}, wanted at least {LEAST_COSINES}: {', '.join(wrong)} too low")
