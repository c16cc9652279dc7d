from __future__ import annotations

from pathlib import Path

import numpy as np

from reid.metrics import Labels
from train.datasets.samples import ReidSample
from train.pooling import group_means, pool_queries, pool_tracklets

HALF = np.sqrt(0.5)


def labels(*views: tuple[int, int]) -> Labels:
    return Labels(np.array([pid for pid, _ in views]), np.array([camid for _, camid in views]))


def test_group_means_by_hand() -> None:
    feats = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    np.testing.assert_allclose(group_means(feats, np.array([0, 0, 1])), [[HALF, HALF], [0, 1]], atol=1e-6)


def test_multi_query_takes_every_crop_of_the_querys_view_and_no_other() -> None:
    query = np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32)
    gallery = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=np.float32)
    gallery_labels = labels((5, 1), (5, 2), (6, 1))  # its own view; another camera; another person
    means, rows = pool_queries(query, labels((5, 1), (-1, 1)), gallery, gallery_labels)
    by_row = dict(zip(rows.tolist(), means.tolist(), strict=True))
    np.testing.assert_allclose(by_row[0], [HALF, HALF, 0], atol=1e-6)
    np.testing.assert_allclose(by_row[1], [0, 0, 1], atol=1e-6)


def test_two_queries_of_one_view_become_one() -> None:
    query = np.array([[0, 1], [1, 0], [0, 1]], dtype=np.float32)
    means, rows = pool_queries(query, labels((9, 1), (5, 1), (5, 1)), query[:1], labels((7, 1)))
    assert rows.tolist() == [1, 0]
    np.testing.assert_allclose(means, [[HALF, HALF], [0, 1]], atol=1e-6)


def test_tracklets_are_pooled_under_the_labels_of_their_first_frame() -> None:
    feats = np.array([[0, 1], [1, 0], [1, 0]], dtype=np.float32)
    samples = [ReidSample(Path("x"), 5, 1, sequence, frame) for sequence, frame in ((1, 8), (1, 7), (2, 9))]
    means, rows = pool_tracklets(feats, samples)
    assert rows.tolist() == [1, 2]
    np.testing.assert_allclose(means, [[HALF, HALF], [1, 0]], atol=1e-6)
