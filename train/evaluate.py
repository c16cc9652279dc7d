"""Scores of a release on a labelled data set. Embeds with the release's own graph, so it measures what ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reid.embedder import Embedder
from reid.metrics import JUNK_PID, Labels, RetrievalScores, SimilaritiesOf, cosine_blocks, score_blocks
from reid.reranking import reranked_blocks
from reid.types import FloatArray, IntArray, UInt8Array
from train.crop_cache import CachedCrops, load_crops
from train.datasets.samples import Split, camids_of, pids_of
from train.errors import DatasetError
from train.pooling import pool_queries, pool_tracklets

BATCH_SIZE = 32
OnBatch = Callable[[int, int], None]
"""Called with the number of crops done and the number of all."""


def ignore_progress(num_done: int, num_crops: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How to search; by default one crop asks, each crop is searched, and cosines rank."""

    multi_query: bool = False
    """All crops of an identity under one camera ask together, as their mean."""
    pool_tracklets: bool = False
    """Tracklet means ask and are searched, instead of single crops."""
    re_rank: bool = False
    """Rank by `reid.reranking`."""


@dataclass(frozen=True)
class SearchSide:
    """What asks, or what is searched: M embeddings, each with a crop to show for it.

    Attributes:
        cached: Crops and their labels.
        rows: (M,) the crop of each embedding, whose labels it has.
        embeddings_MD: Unit-norm float32.
    """

    cached: CachedCrops
    rows: IntArray
    embeddings_MD: FloatArray

    @property
    def labels(self) -> Labels:
        """Identities and cameras of the embeddings."""
        labels = labels_of(self.cached)
        return Labels(labels.pids[self.rows], labels.camids[self.rows])

    def crop(self, place: int) -> UInt8Array:
        """The picture of one embedding: uint8 (256, 128, 3) BGR."""
        return np.array(self.cached.crops[self.rows[place]])


@dataclass(frozen=True)
class Evaluation:
    """Scores, and what they were obtained on."""

    scores: RetrievalScores
    query: SearchSide
    gallery: SearchSide
    """Without junk."""
    similarities_of: SimilaritiesOf
    num_gallery: int
    """Crops in the gallery, junk included."""
    num_skipped: int
    """Pictures that could not be read."""


def evaluate_split(
    embedder: Embedder,
    split: Split,
    cache: Path,
    settings: SearchSettings = SearchSettings(),
    *,
    on_batch: OnBatch = ignore_progress,
) -> Evaluation:
    """Search every query of a split in its gallery.

    Args:
        embedder: Runs the release.
        split: One with a test part.
        cache: Folder of the crop cache.
        settings: How to search.
        on_batch: Told how far it is.

    Raises:
        DatasetError: The split has no test part, or its pictures cannot be used.
        EmbeddingError: The network failed.
    """
    if not split.query or not split.gallery:
        raise DatasetError("this split has no query and gallery: choose one that keeps identities for the test")
    query_crops, gallery_crops = load_crops(split.query, cache), load_crops(split.gallery, cache)
    num_query, num_gallery = len(query_crops.samples), len(gallery_crops.samples)
    num_crops = num_query + num_gallery
    query = _embedded(embedder, query_crops, lambda done, _: on_batch(done, num_crops))
    gallery = _embedded(embedder, gallery_crops, lambda done, _: on_batch(num_query + done, num_crops))
    query, gallery = _pooled(query, _without_junk(gallery), settings)
    blocks = reranked_blocks if settings.re_rank else cosine_blocks
    similarities_of = blocks(query.embeddings_MD, gallery.embeddings_MD)
    return Evaluation(
        scores=score_blocks(similarities_of, query.labels, gallery.labels),
        query=query,
        gallery=gallery,
        similarities_of=similarities_of,
        num_gallery=num_gallery,
        num_skipped=len(query_crops.skipped) + len(gallery_crops.skipped),
    )


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


def _embedded(embedder: Embedder, cached: CachedCrops, on_batch: OnBatch) -> SearchSide:
    return SearchSide(cached, np.arange(len(cached.samples)), embed_all(embedder, cached.crops, on_batch=on_batch))


def _without_junk(side: SearchSide) -> SearchSide:
    kept = np.flatnonzero(side.labels.pids != JUNK_PID)
    if len(kept) == 0:
        raise DatasetError("the gallery holds nothing but junk: there is nothing to find")
    if len(kept) == len(side.rows):
        return side
    return replace(side, rows=side.rows[kept], embeddings_MD=side.embeddings_MD[kept])


def _pooled(query: SearchSide, gallery: SearchSide, settings: SearchSettings) -> tuple[SearchSide, SearchSide]:
    if settings.pool_tracklets:
        query, gallery = _tracklet_means(query), _tracklet_means(gallery)
    if settings.multi_query:
        means, places = pool_queries(query.embeddings_MD, query.labels, gallery.embeddings_MD, gallery.labels)
        query = replace(query, rows=query.rows[places], embeddings_MD=means)
    return query, gallery


def _tracklet_means(side: SearchSide) -> SearchSide:
    means, places = pool_tracklets(side.embeddings_MD, [side.cached.samples[row] for row in side.rows])
    return replace(side, rows=side.rows[places], embeddings_MD=means)
