"""Pseudo labels of one epoch: clusters of the unlabelled crops, and how good they look.

The published methods learn nothing across cameras when no cluster spans two of them, however well the loss falls; so
that share is reported each epoch, and a low one is warned of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import structlog
from pydantic import Field
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from reid.clustering import OUTLIER, ClusterKind, centroids, cluster, renumber
from reid.embedding import normalise
from reid.neighbours import jaccard_graph
from reid.settings import Settings
from reid.types import FloatArray, IntArray
from train.errors import TrainingError
from train.site import NO_PAIRS, SiteCrops

logger = structlog.get_logger(__name__)

LOW_CROSS_CAMERA_SHARE = 0.1
_RELAX_STEP = 0.05
_MOST_EPS = 0.8


class ClusterSettings(Settings):
    """How crops are clustered; defaults are those of ISE for Market-1501."""

    of: Literal["crops", "tracklets"] = "crops"
    """What is clustered: single crops, or the means of tracklets, whose crops then share one label."""
    centre_cameras: bool = False
    """First take the mean of each camera away: what all of its crops share is its light and angle, not a person."""
    kind: ClusterKind = "dbscan"
    """`infomap` needs the extra of that name; it takes larger `eps` well, as a cut and not a density decides."""
    k1: int = Field(default=30, ge=2)
    """Neighbours of the reciprocal encoding; smaller where a person has few crops."""
    k2: int = Field(default=6, ge=1)
    """Neighbours over which encodings are averaged; 1 for none."""
    eps: float = Field(default=0.4, gt=0, lt=1)
    """Crops with a Jaccard distance up to this are neighbours."""
    min_samples: int = Field(default=4, ge=1)
    """Neighbours, itself included, that make a crop a core of its cluster."""


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of one epoch and what is known about them.

    Attributes:
        labels_N: int64 in [0, K), -1 for outliers.
        eps: The bound that was used; larger than configured when it had to be relaxed.
        cross_camera_share: Share of clusters that span two or more cameras.
        pair_precision: Share of pairs with one pseudo label that have one pid; NaN without pids.
        pair_recall: Share of pairs with one pid that have one pseudo label; NaN without pids.
    """

    labels_N: IntArray
    eps: float
    cross_camera_share: float
    pair_precision: float
    pair_recall: float

    @property
    def num_clusters(self) -> int:
        """K."""
        return int(self.labels_N.max()) + 1

    @property
    def noise_share(self) -> float:
        """Share of crops without a label."""
        return float(np.mean(self.labels_N == OUTLIER))


def make_pseudo_labels(
    feats_ND: FloatArray, site: SiteCrops, config: ClusterSettings, *, least_clusters: int
) -> PseudoLabels:
    """Cluster, relaxing the distance when next to nothing clusters.

    Args:
        feats_ND: Unit-norm float32.
        site: What is known of the crops; `pids` are used for reporting only, `apart` and `together` where tracklets are
            clustered.
        config: How to cluster.
        least_clusters: Fewer clusters than this cannot fill a batch.

    Raises:
        TrainingError: Even at the largest distance there are fewer clusters than needed.
    """
    feats = centre_cameras(feats_ND, site.camids) if config.centre_cameras else feats_ND
    if config.of == "tracklets":
        links = np.unique(np.sort(site.together, axis=1), axis=0)
        means = centroids(feats, site.tracklets)
        labels_T, eps = _cluster(means, _believable_apart(site), config, least_clusters, must_link=links)
        labels = labels_T[site.tracklets]
    else:
        labels, eps = _cluster(feats, None, config, least_clusters)
    share = cross_camera_share(labels, site.camids)
    if share < LOW_CROSS_CAMERA_SHARE and len(np.unique(site.camids)) > 1:
        logger.warning("few clusters span two cameras: little can be learned across them", share=round(share, 3))
    precision, recall = (float("nan"),) * 2 if site.pids is None else pair_scores(labels, site.pids)
    return PseudoLabels(labels, eps, share, precision, recall)


def centre_cameras(feats_ND: FloatArray, camids_N: IntArray) -> FloatArray:
    """Take each camera's mean away from its features and scale them to norm 1 again.

    Args:
        feats_ND: Unit-norm float32.
        camids_N: int64 cameras.
    """
    cameras, camera_of_N = np.unique(camids_N, return_inverse=True)
    means = np.stack([feats_ND[camera_of_N == camera].mean(axis=0) for camera in range(len(cameras))])
    return normalise(feats_ND - means[camera_of_N])


def _cluster(
    feats: FloatArray,
    cannot_link: IntArray | None,
    config: ClusterSettings,
    least_clusters: int,
    *,
    must_link: IntArray = NO_PAIRS,
) -> tuple[IntArray, float]:
    """Labels, and the distance at which there are enough of them."""
    eps = config.eps
    while True:
        graph = _with_links(jaccard_graph(feats, k1=config.k1, k2=config.k2, max_distance=eps), must_link)
        labels = cluster(graph, eps=eps, min_samples=config.min_samples, cannot_link=cannot_link, kind=config.kind)
        if labels.max() + 1 >= least_clusters:
            break
        if eps + _RELAX_STEP > _MOST_EPS:
            raise TrainingError(
                f"{len(labels)} {config.of} give {labels.max() + 1} clusters even at eps {eps:.2f}, wanted at least "
                f"{least_clusters}: add crops, lower min_samples or k1, lower num_ids, or start from better weights"
            )
        eps += _RELAX_STEP
    if eps > config.eps:
        logger.warning("clustering relaxed", eps=round(eps, 2), configured=config.eps, clusters=int(labels.max()) + 1)
    return labels, eps


def joined_tracklets(site: SiteCrops) -> IntArray:
    """(T,) int64 numbers from 0 on, the same for tracklets that `together` joins, directly or through others."""
    num_tracklets, (one, other) = site.num_tracklets, site.together.T
    links = sparse.coo_matrix((np.ones(len(one)), (one, other)), shape=(num_tracklets, num_tracklets))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _believable_apart(site: SiteCrops) -> IntArray:
    """Pairs that are apart, but for those an operator joined, who knows better than a camera that saw two at once."""
    person_T = joined_tracklets(site)
    believable: IntArray = site.apart[person_T[site.apart[:, 0]] != person_T[site.apart[:, 1]]]
    return believable


def _with_links(graph: sparse.csr_matrix, pairs: IntArray) -> sparse.csr_matrix:
    """A copy of the graph in which the given pairs are no distance apart."""
    num_samples, coo = graph.shape[0], graph.tocoo()
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    keep = ~np.isin(coo.row.astype(np.int64) * num_samples + coo.col, rows * num_samples + columns)
    data = np.concatenate([coo.data[keep], np.zeros(len(rows), dtype=coo.data.dtype)])
    places = np.concatenate([coo.row[keep], rows]), np.concatenate([coo.col[keep], columns])
    return sparse.csr_matrix((data, places), shape=graph.shape)


def neighbouring_clusters(feats_ND: FloatArray, labels_N: IntArray, *, count: int) -> tuple[FloatArray, IntArray]:
    """Samples of a cluster and of the clusters nearest to it: a place where it is crowded.

    Args:
        feats_ND: Unit-norm float32.
        labels_N: int64 pseudo labels, -1 for outliers; at least one cluster.
        count: How many clusters.

    Returns:
        Their samples' features, and labels numbered from 0.
    """
    means = centroids(feats_ND, labels_N)
    similarity = means @ means.T
    np.fill_diagonal(similarity, -1.0)
    middle = int(np.unravel_index(similarity.argmax(), similarity.shape)[0])
    np.fill_diagonal(similarity, 2.0)
    rows = np.flatnonzero(np.isin(labels_N, np.argsort(-similarity[middle])[:count]))
    return feats_ND[rows], renumber(labels_N[rows])


def cross_camera_share(labels_N: IntArray, camids_N: IntArray) -> float:
    """Share of clusters whose members come from two or more cameras; 0 without clusters."""
    inliers = labels_N != OUTLIER
    views = np.unique(np.stack([labels_N[inliers], camids_N[inliers]], axis=1), axis=0)
    cameras = np.bincount(views[:, 0]) if len(views) else np.empty(0)
    return float(np.mean(cameras >= 2)) if len(cameras) else 0.0


def pair_scores(labels_N: IntArray, pids_N: IntArray) -> tuple[float, float]:
    """Precision and recall of "same pseudo label" as a guess of "same pid", over all pairs of samples.

    Returns:
        Precision (1 when no pair is guessed) and recall (1 when no pair is true); outliers are alone.
    """
    alone = np.where(labels_N == OUTLIER, labels_N.max() + 1 + np.arange(len(labels_N)), labels_N)
    both = np.unique(np.stack([alone, pids_N], axis=1), axis=0, return_counts=True)[1]
    true_sizes = np.unique(pids_N, return_counts=True)[1]
    hit, guessed, true = (_num_pairs(sizes) for sizes in (both, np.bincount(alone), true_sizes))
    return hit / guessed if guessed else 1.0, hit / true if true else 1.0


def _num_pairs(group_sizes: IntArray) -> int:
    return int((group_sizes * (group_sizes - 1) // 2).sum())
