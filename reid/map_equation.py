"""Infomap on a sparse graph: clusters are where a random walk over near pairs stays.

Rosvall and Bergstrom, PNAS 2008, by the package `infomap`. It needs no density, so it cuts apart what a chain of near
pairs joins, and leaves fewer samples out. The package is an extra because its licence (GPL-3.0-or-later) is not ours:
it is loaded only when asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
from scipy import sparse

from reid.errors import ConfigError
from reid.types import IntArray

_SEED = 1


def infomap(graph: sparse.csr_matrix, *, eps: float, min_samples: int = 4) -> IntArray:
    """Cluster by the two-level map equation; a pair weighs 1 minus its distance.

    Args:
        graph: (N, N) symmetric distances in [0, 1] (`reid.neighbours.jaccard_graph`).
        eps: Pairs farther apart are no links.
        min_samples: Clusters with fewer members become outliers.

    Returns:
        (N,) int64 labels, -1 for outliers; the same for the same graph.

    Raises:
        ConfigError: The package is not installed.
    """
    num_samples = graph.shape[0]
    links = sparse.triu(graph, k=1, format="coo")
    near = links.data <= eps
    network = _package().Infomap(silent=True, two_level=True, seed=_SEED)
    network.add_nodes(range(num_samples))
    weights = 1.0 - links.data[near]
    network.add_links(list(zip(links.row[near].tolist(), links.col[near].tolist(), weights.tolist(), strict=True)))
    module_of = network.run().modules()
    labels = np.array([module_of[sample] for sample in range(num_samples)], dtype=np.int64)
    return np.where(np.bincount(labels)[labels] >= min_samples, labels, -1)


def _package() -> ModuleType:
    try:
        return importlib.import_module("infomap")
    except ModuleNotFoundError:
        raise ConfigError(
            "clustering of kind 'infomap' needs the package infomap, which is not installed: "
            "pip install 'osprey-reid[infomap]' (GPL-3.0-or-later), or set kind to 'dbscan'"
        ) from None
