from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from reid.clustering import centroids, cluster, dbscan, renumber


def graph_of(points: np.ndarray, bound: float) -> sparse.csr_matrix:
    """Distances between points on a line, up to a bound, zeros stored."""
    dist = np.abs(points[:, None] - points[None])
    rows, columns = np.nonzero(dist <= bound)
    return sparse.csr_matrix((dist[rows, columns], (rows, columns)), shape=dist.shape)


LINE = np.array([0.0, 0.1, 0.2, 0.3, 5.0, 9.0, 9.1, 9.2, 9.3])


def test_dense_groups_are_clusters_and_a_lone_sample_is_an_outlier() -> None:
    assert dbscan(graph_of(LINE, 1.0), eps=0.5, min_samples=3).tolist() == [0, 0, 0, 0, -1, 1, 1, 1, 1]


def test_duplicates_count_as_neighbours() -> None:
    assert dbscan(graph_of(np.zeros(4), 1.0), eps=0.5, min_samples=4).tolist() == [0, 0, 0, 0]


def test_no_forbidden_pairs_changes_nothing() -> None:
    graph = graph_of(LINE, 1.0)
    assert (
        cluster(graph, eps=0.5, min_samples=3, cannot_link=np.empty((0, 2), np.int64)).tolist()
        == dbscan(graph, eps=0.5, min_samples=3).tolist()
    )


def test_a_chain_that_joins_a_forbidden_pair_is_split_at_its_longest_edge() -> None:
    points = np.array([0.0, 0.1, 0.2, 0.6, 0.7, 0.8])
    labels = cluster(graph_of(points, 1.0), eps=0.45, min_samples=2, cannot_link=np.array([[0, 5]]))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_part_too_small_after_a_split_becomes_outliers() -> None:
    points = np.array([0.0, 0.1, 0.2, 0.3, 0.7])
    labels = cluster(graph_of(points, 1.0), eps=0.45, min_samples=3, cannot_link=np.array([[0, 4]]))
    assert labels.tolist() == [0, 0, 0, 0, -1]


@settings(max_examples=50, deadline=None)
@given(
    points=st.lists(st.floats(0, 3), min_size=2, max_size=40),
    pairs=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=20),
)
def test_forbidden_pairs_are_never_in_one_cluster(points: list[float], pairs: list[tuple[int, int]]) -> None:
    num = len(points)
    forbidden = np.array([(a % num, b % num) for a, b in pairs if a % num != b % num], np.int64).reshape(-1, 2)
    labels = cluster(graph_of(np.array(points), 1.0), eps=0.3, min_samples=2, cannot_link=forbidden)
    for a, b in forbidden:
        assert labels[a] != labels[b] or labels[a] == -1
    used = set(labels.tolist()) - {-1}
    assert used == set(range(len(used)))


def test_labels_are_numbered_by_first_appearance() -> None:
    assert renumber(np.array([7, -1, 3, 7, 0])).tolist() == [0, -1, 1, 0, 2]


def test_centroids_are_unit_means_without_outliers() -> None:
    feats = np.array([[1, 0], [0, 1], [1, 0], [0, -1]], dtype=np.float32)
    got = centroids(feats, np.array([0, 0, 1, -1]))
    np.testing.assert_allclose(got, [[0.7071068, 0.7071068], [1, 0]], atol=1e-6)


def test_outliers_alone_have_no_centroid() -> None:
    with pytest.raises(ValueError, match="outliers only"):
        centroids(np.ones((2, 2), np.float32), np.array([-1, -1]))


def test_infomap_cuts_the_chain_that_dbscan_follows() -> None:
    points = np.concatenate([np.linspace(0.0, 0.2, 8), [0.35], np.linspace(0.5, 0.7, 8)])
    graph = graph_of(points, 0.6)
    assert cluster(graph, eps=0.2, min_samples=3).max() == 0
    labels = cluster(graph, eps=0.2, min_samples=3, kind="infomap")
    assert (labels[:8] == 0).all()
    assert (labels[-8:] == 1).all()


def test_infomap_keeps_forbidden_pairs_apart() -> None:
    points = np.linspace(0.0, 0.3, 8)
    graph = graph_of(points, 0.6)
    assert cluster(graph, eps=0.5, min_samples=2, kind="infomap").tolist() == [0] * 8
    labels = cluster(graph, eps=0.5, min_samples=2, kind="infomap", cannot_link=np.array([[0, 7]]))
    assert labels[0] != labels[7]
