from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from reid.embedding import normalise
from reid.neighbours import jaccard_graph, nearest_neighbours


def people(num_samples: int, *, noise: float = 0.6, dim: int = 32, seed: int = 0) -> np.ndarray:
    """Samples of persons, 12 each, some of them exact duplicates."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((num_samples // 12 + 1, dim)).repeat(12, axis=0)[:num_samples]
    feats = centres + noise * rng.standard_normal((num_samples, dim))
    feats[1::50] = feats[0::50][: len(feats[1::50])]
    return normalise(feats)


def dense_jaccard(feats: np.ndarray, ranks: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """The definition, written plainly: N x N encodings and distances."""
    half = int(np.around(k1 / 2)) + 1

    def reciprocal(i: int, width: int) -> list[int]:
        return [j for j in ranks[i, :width] if i in ranks[j, :width]]

    encoding = np.zeros((len(feats), len(feats)))
    for i in range(len(feats)):
        own = set(reciprocal(i, k1))
        expanded = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, half)
            if len(own.intersection(theirs)) > 2 / 3 * len(theirs):
                expanded |= set(theirs)
        members = sorted(expanded)
        weights = np.exp(-(2 - 2 * feats[members] @ feats[i]))
        encoding[i, members] = weights / weights.sum()
    encoding = encoding[ranks[:, :k2]].mean(axis=1)
    overlap = np.minimum(encoding[:, None], encoding[None]).sum(axis=2)
    return 1 - overlap / (2 - overlap)


def to_dense(graph: object, num_samples: int) -> np.ndarray:
    dense = np.ones((num_samples, num_samples))
    entries = graph.tocoo()  # type: ignore[attr-defined]
    dense[entries.row, entries.col] = entries.data
    return dense


@settings(max_examples=15, deadline=None)
@given(
    num_samples=st.integers(2, 90),
    noise=st.floats(0.1, 1.5),
    k1=st.integers(1, 30),
    k2=st.integers(1, 6),
    seed=st.integers(0, 100),
)
def test_sparse_distances_equal_the_dense_definition(
    num_samples: int, noise: float, k1: int, k2: int, seed: int
) -> None:
    feats = people(num_samples, noise=noise, seed=seed)
    ranks = nearest_neighbours(feats, k1).indices_NK
    want = dense_jaccard(feats.astype(float), ranks, min(k1, num_samples), min(k2, k1))
    got = to_dense(jaccard_graph(feats, k1=min(k1, num_samples), k2=min(k2, k1)), num_samples)
    np.testing.assert_allclose(got, np.maximum(want, 0), atol=2e-6)


@pytest.mark.parametrize("eps", [0.4, 0.6])
def test_bounded_graph_gives_dbscan_the_labels_of_the_dense_matrix(eps: float) -> None:
    feats = people(240, noise=0.9)
    dense = dense_jaccard(feats.astype(float), nearest_neighbours(feats, 20).indices_NK, 20, 6).clip(0)
    clusterer = DBSCAN(eps=eps, min_samples=4, metric="precomputed")
    want = clusterer.fit_predict(dense)
    got = clusterer.fit_predict(jaccard_graph(feats, k1=20, max_distance=eps))
    assert len(set(want)) > 5
    np.testing.assert_array_equal(got, want)


def test_graph_is_symmetric_and_keeps_zeros_of_duplicates_and_diagonal() -> None:
    feats = normalise(np.ones((5, 4)) + np.eye(5, 4))
    feats[1] = feats[0]
    graph = jaccard_graph(feats, k1=3, k2=1)
    np.testing.assert_array_equal(to_dense(graph, 5), to_dense(graph.T, 5))
    stored = set(zip(*graph.nonzero(), strict=True))
    assert graph.nnz >= 5
    assert all(graph[i, i] == 0 for i in range(5))
    assert (0, 0) not in stored  # a stored zero, which nnz counts and nonzero() does not


def test_self_comes_first_even_among_duplicates() -> None:
    near = nearest_neighbours(normalise(np.ones((6, 4))), 3)
    np.testing.assert_array_equal(near.indices_NK[:, 0], np.arange(6))
    assert all(len(set(row)) == 3 for row in near.indices_NK.tolist())


def test_fewer_samples_than_k() -> None:
    assert nearest_neighbours(people(3), 10).indices_NK.shape == (3, 3)


def test_approximate_search_is_said_and_finds_nearly_all() -> None:
    feats = people(600)
    exact, approximate = nearest_neighbours(feats, 10), nearest_neighbours(feats, 10, exact_limit=100)
    assert (exact.is_exact, approximate.is_exact) == (True, False)
    pairs = zip(exact.indices_NK.tolist(), approximate.indices_NK.tolist(), strict=True)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]) > 0.98


@pytest.mark.parametrize(("num_samples", "k"), [(0, 3), (4, 0)])
def test_nothing_to_search_is_an_error(num_samples: int, k: int) -> None:
    with pytest.raises(ValueError, match="needs samples and k >= 1"):
        nearest_neighbours(np.zeros((num_samples, 4), np.float32), k)
