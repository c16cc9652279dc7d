"""Samples and the supports made from them in two dimensions, to be looked at.

`projection.json`: {"points": [[x, y, cluster, 0 for a sample or 1 for a support], …]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.manifold import TSNE

from reid.files import write_json_atomic
from reid.types import BoolArray, FloatArray, IntArray

PROJECTION_FILE = "projection.json"


@dataclass(frozen=True)
class Projection:
    """Points in a plane; near ones are alike, other lengths say nothing.

    Attributes:
        points_N2: float32.
        labels_N: int64 pseudo labels.
        is_support_N: Whether a point is a support, or else a sample.
    """

    points_N2: FloatArray
    labels_N: IntArray
    is_support_N: BoolArray


def project(
    feats_ND: FloatArray, labels_N: IntArray, supports_SD: FloatArray, support_labels_S: IntArray
) -> Projection:
    """Lay samples and their supports out in a plane, by t-SNE on cosine distances.

    Args:
        feats_ND: Unit-norm float32.
        labels_N: int64 pseudo labels.
        supports_SD: Unit-norm float32.
        support_labels_S: int64 pseudo labels of the supports.
    """
    both = np.concatenate([feats_ND, supports_SD])
    perplexity = float(min(30, max(2, (len(both) - 1) // 3)))
    flat = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0).fit_transform(both)
    return Projection(
        points_N2=flat,
        labels_N=np.concatenate([labels_N, support_labels_S]),
        is_support_N=np.arange(len(both)) >= len(feats_ND),
    )


def write_projection(path: Path, projection: Projection) -> None:
    """Write it as JSON, whole or not at all."""
    rows = zip(projection.points_N2.tolist(), projection.labels_N, projection.is_support_N, strict=True)
    points = [[round(x, 3), round(y, 3), int(label), int(is_support)] for (x, y), label, is_support in rows]
    write_json_atomic(path, {"points": points})
