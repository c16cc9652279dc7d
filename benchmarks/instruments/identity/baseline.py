"""The plain way: each whole tracklet joins the nearest person so far if it is near enough, or becomes a new one.

It sees tracklets when they have ended, so it decides later and knows more than the server does online.
"""

from __future__ import annotations

import numpy as np

from benchmarks.instruments.identity.scene import Scene
from reid.embedding import normalise
from reid.types import FloatArray


def nearest_prototype(scene: Scene, *, threshold: float) -> dict[tuple[int, int], int]:
    """person_id of every tracklet.

    Args:
        scene: What cameras sent.
        threshold: Least cosine of a tracklet to the mean of a person's tracklets.
    """
    rows_of = scene.rows_by_tracklet()
    ended = sorted(rows_of, key=lambda name: (int(scene.times_us_N[rows_of[name][-1]]), name))
    sums_KD = np.empty((len(ended), scene.dim), dtype=np.float32)
    prototypes_KD = np.empty_like(sums_KD)
    num_persons = 0
    found: dict[tuple[int, int], int] = {}
    for name in ended:
        embedding = _pooled(scene, rows_of[name].tolist())
        similarities = prototypes_KD[:num_persons] @ embedding
        nearest = int(np.argmax(similarities)) if num_persons else 0
        if num_persons and similarities[nearest] >= threshold:
            sums_KD[nearest] += embedding
        else:
            nearest, num_persons = num_persons, num_persons + 1
            sums_KD[nearest] = embedding
        prototypes_KD[nearest] = normalise(sums_KD[nearest][None])[0]
        found[name] = nearest
    return found


def _pooled(scene: Scene, rows: list[int]) -> FloatArray:
    weights = np.maximum(scene.qualities_N[rows], 1e-3)
    return np.asarray(normalise((weights[:, None] * scene.embeddings_ND[rows]).sum(axis=0)[None])[0])
