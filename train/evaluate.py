"""Scores of a release on a labelled data set. Embeds with the release's own graph, so it measures what ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.embedder import Embedder
from reid.metrics import Labels, RetrievalScores, score_embeddings
from reid.types import FloatArray, UInt8Array
from train.crop_cache import CachedCrops, load_crops
from train.datasets import Split, camids_of, pids_of
from train.errors import DatasetError

BATCH_SIZE = 32
OnBatch = Callable[[int, int], None]
"""Called with the number of crops done and the number of all."""


def ignore_progress(num_done: int, num_crops: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Evaluation:
    """Scores, and what they were obtained on."""

    scores: RetrievalScores
    num_gallery: int
    num_skipped: int
    """Pictures that could not be read."""


def evaluate_split(embedder: Embedder, split: Split, cache: Path, *, on_batch: OnBatch = ignore_progress) -> Evaluation:
    """Search every query of a split in its gallery.

    Args:
        embedder: Runs the release.
        split: One with a test part.
        cache: Folder of the crop cache.
        on_batch: Told how far it is.

    Raises:
        DatasetError: The split has no test part, or its pictures cannot be used.
        EmbeddingError: The network failed.
    """
    if not split.query or not split.gallery:
        raise DatasetError("this split has no query and gallery: choose one that keeps identities for the test")
    query, gallery = load_crops(split.query, cache), load_crops(split.gallery, cache)
    num_query, num_crops = len(query.samples), len(query.samples) + len(gallery.samples)
    scores = score_embeddings(
        embed_all(embedder, query.crops, on_batch=lambda done, _: on_batch(done, num_crops)),
        embed_all(embedder, gallery.crops, on_batch=lambda done, _: on_batch(num_query + done, num_crops)),
        labels_of(query),
        labels_of(gallery),
    )
    return Evaluation(scores, num_gallery=len(gallery.samples), num_skipped=len(query.skipped) + len(gallery.skipped))


def embed_all(embedder: Embedder, crops: UInt8Array, *, on_batch: OnBatch = ignore_progress) -> FloatArray:
    """Embed any number of crops, in batches.

    Args:
        embedder: Runs the release.
        crops: uint8 (N, 256, 128, 3) BGR, perhaps memory-mapped.
        on_batch: Told how far it is.

    Returns:
        float32 (N, D), unit norm.
    """
    feats_ND = np.empty((len(crops), embedder.dim), dtype=np.float32)
    for first in range(0, len(crops), BATCH_SIZE):
        batch = np.ascontiguousarray(crops[first : first + BATCH_SIZE])
        feats_ND[first : first + len(batch)] = embedder.embed(batch)
        on_batch(first + len(batch), len(crops))
    return feats_ND


def labels_of(cached: CachedCrops) -> Labels:
    """Identities and cameras of cached crops."""
    return Labels(pids=pids_of(cached.samples), camids=camids_of(cached.samples))
