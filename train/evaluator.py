"""Scores of a network while it is in training, on the test part of its data set. `train.evaluate` scores what ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reid.metrics import score_embeddings
from train.crop_cache import load_crops
from train.datasets.samples import Split
from train.embed import embed_crops
from train.evaluate import labels_of
from train.network import Network

Evaluate = Callable[[Network], dict[str, float]]
"""Scores of a network, in [0, 1], by name."""


def evaluator_of(split: Split, cache: Path) -> Evaluate | None:
    """Make what scores a network on a split's test part.

    Args:
        split: Its queries and gallery are the test.
        cache: Folder of the crop cache.

    Returns:
        A function that gives `mAP`, `R1`, `R5` and `R10`; None where the split has no test part.

    Raises:
        DatasetError: The test part's pictures cannot be used.
    """
    if not split.query:
        return None
    query, gallery = load_crops(split.query, cache), load_crops(split.gallery, cache)

    def evaluate(network: Network) -> dict[str, float]:
        query_QD, gallery_GD = (embed_crops(network, part.crops, precision="fp32") for part in (query, gallery))
        scores = score_embeddings(query_QD, gallery_GD, labels_of(query), labels_of(gallery))
        return {"mAP": scores.mAP, **{f"R{k}": scores.rank(k) for k in (1, 5, 10)}}

    return evaluate
