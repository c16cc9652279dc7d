from __future__ import annotations

import numpy as np
import pytest
from fakes_network import seeded_osnet

from reid.embedding import normalise
from reid.types import FloatArray
from train.parent_link import EmbeddedTwice, aligned_cosine, embed_twice, fit_to_parent

DIM = 16


def rotation(*, seed: int = 3) -> FloatArray:
    square = np.random.default_rng(seed).standard_normal((DIM, DIM))
    return np.linalg.qr(square)[0].astype(np.float32)


def units(num_rows: int, *, seed: int = 0) -> FloatArray:
    return normalise(np.random.default_rng(seed).standard_normal((num_rows, DIM)).astype(np.float32))


def test_a_turned_space_is_found_and_fits_crops_it_was_not_fitted_on() -> None:
    turned = rotation()
    old = units(400)
    matrix = fit_to_parent(EmbeddedTwice(old, normalise(old @ turned)))
    held_out = units(20, seed=9)
    assert aligned_cosine(EmbeddedTwice(held_out, normalise(held_out @ turned)), matrix) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(DIM), atol=1e-5)


def test_directions_that_no_crop_shows_stay_where_they_are() -> None:
    old = np.eye(DIM, dtype=np.float32)[:2]
    matrix = fit_to_parent(EmbeddedTwice(old, old))
    np.testing.assert_allclose(matrix, np.eye(DIM), atol=1e-5)


def test_both_networks_embed_the_same_crops_spread_over_all() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 64, 32, 3), dtype=np.uint8)
    embedded = embed_twice(seeded_osnet(), seeded_osnet(seed=1), crops, most=3)
    assert embedded.old_ND.shape == embedded.new_ND.shape == (3, 512)
    whole = embed_twice(seeded_osnet(), seeded_osnet(seed=1), crops)
    np.testing.assert_allclose(embedded.new_ND, whole.new_ND[::2], atol=1e-5)
