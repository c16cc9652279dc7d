from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from reid.errors import ConfigError
from reid.map_equation import infomap


def pairs_at(distance: float, *pairs: tuple[int, int], num_samples: int) -> sparse.csr_matrix:
    """A graph of these pairs, with its diagonal."""
    dist = np.full((num_samples, num_samples), np.nan)
    np.fill_diagonal(dist, 0.0)
    for a, b in pairs:
        dist[a, b] = dist[b, a] = distance
    rows, columns = np.nonzero(~np.isnan(dist))
    return sparse.csr_matrix((dist[rows, columns], (rows, columns)), shape=dist.shape)


TRIANGLES = pairs_at(0.2, (0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (6, 7), num_samples=9)


def test_groups_are_clusters_and_small_ones_are_outliers() -> None:
    labels = infomap(TRIANGLES, eps=0.5, min_samples=3)
    assert len({*labels[:3].tolist()}) == len({*labels[3:6].tolist()}) == 1
    assert labels[0] != labels[3]
    assert labels[6:].tolist() == [-1, -1, -1]


def test_pairs_beyond_eps_are_no_links() -> None:
    assert infomap(TRIANGLES, eps=0.1, min_samples=2).tolist() == [-1] * 9


def test_the_same_graph_gives_the_same_labels(rng: np.random.Generator) -> None:
    dense = np.triu(rng.random((60, 60)), k=1)
    graph = sparse.csr_matrix(dense + dense.T)
    assert infomap(graph, eps=0.3).tolist() == infomap(graph, eps=0.3).tolist()


def test_a_missing_package_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "infomap", None)
    with pytest.raises(ConfigError, match=r"pip install 'osprey-reid\[infomap\]'.*or set kind to 'dbscan'"):
        infomap(TRIANGLES, eps=0.5)
