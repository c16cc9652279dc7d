"""One embedding for several crops of a person under a camera: multi-query search and tracklet means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from reid.embedding import normalise
from reid.metrics import JUNK_PID, Labels
from reid.types import FloatArray, IntArray
from train.datasets.samples import ReidSample, tracklets_of


def pool_queries(
    query_QD: FloatArray, query: Labels, gallery_GD: FloatArray, gallery: Labels
) -> tuple[FloatArray, IntArray]:
    """Multi-query: one query per identity and camera, the mean of every crop of that view, of query and gallery alike.

    The gallery's crops of a query's own identity and camera never count as results, so they are free to ask with.
    (Market-1501's own multi-query averages hand-drawn boxes of the view, gt_bbox, which the usual copies lack.)

    Returns:
        (V, D) float32, unit norm; and for each the row of the view's first query, whose labels it has.
    """
    views = np.stack([np.concatenate([query.pids, gallery.pids]), np.concatenate([query.camids, gallery.camids])])
    _, numbers = np.unique(views, axis=1, return_inverse=True)
    of_query = numbers.ravel()[: len(query.pids)]
    asked, first_rows, places = np.unique(of_query, return_index=True, return_inverse=True)
    place_of_view = np.full(numbers.max() + 1, -1)
    place_of_view[asked] = np.arange(len(asked))
    of_gallery = np.where(gallery.pids == JUNK_PID, -1, place_of_view[numbers.ravel()[len(query.pids) :]])
    kept = of_gallery >= 0
    groups = np.concatenate([places.ravel(), of_gallery[kept]])
    return group_means(np.concatenate([query_QD, gallery_GD[kept]]), groups), first_rows


def pool_tracklets(embeddings_ND: FloatArray, samples: Sequence[ReidSample]) -> tuple[FloatArray, IntArray]:
    """The mean of each tracklet.

    Returns:
        (T, D) float32, unit norm; and for each the row of the tracklet's first frame, whose labels it has.
    """
    tracklets = tracklets_of(samples)
    groups = np.empty(len(samples), dtype=np.int64)
    for number, rows in enumerate(tracklets):
        groups[list(rows)] = number
    return group_means(embeddings_ND, groups), np.array([rows[0] for rows in tracklets], dtype=np.int64)


def group_means(embeddings_ND: FloatArray, groups_N: IntArray) -> FloatArray:
    """Means of the embeddings of each group 0 … K-1, at unit norm: (K, D) float32."""
    num_groups = int(groups_N.max()) + 1
    sums = sparse.csr_matrix(
        (np.ones(len(groups_N), dtype=np.float32), (groups_N, np.arange(len(groups_N)))),
        shape=(num_groups, len(groups_N)),
    )
    return normalise(sums @ embeddings_ND)
