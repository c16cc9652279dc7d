from __future__ import annotations

import numpy as np
import pytest

from reid.types import UInt8Array
from train.augment import MEAN_PIXEL_BGR, AugmentSettings, augment, colour_tables, erase, flip, resize_batch, shift

OFF = AugmentSettings(flip=0, pad_share=0, brightness=0, contrast=0, colour_cast=0, erase=0)


@pytest.fixture
def crops(rng: np.random.Generator) -> UInt8Array:
    return rng.integers(0, 256, (6, 64, 32, 3), dtype=np.uint8)


def test_everything_off_changes_nothing(crops: UInt8Array, rng: np.random.Generator) -> None:
    np.testing.assert_array_equal(augment(crops, OFF, rng), crops)


def test_input_is_left_as_it_was(crops: UInt8Array, rng: np.random.Generator) -> None:
    before = crops.copy()
    changed = augment(crops, AugmentSettings(), rng)
    np.testing.assert_array_equal(crops, before)
    assert changed.shape == crops.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, crops)


def test_same_seed_same_batch(crops: UInt8Array) -> None:
    first, again = (augment(crops, AugmentSettings(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_flip_mirrors_left_to_right(crops: UInt8Array, rng: np.random.Generator) -> None:
    flipped = crops.copy()
    flip(flipped, 1.0, rng)
    np.testing.assert_array_equal(flipped, crops[:, :, ::-1])


def test_shift_moves_content_and_fills_with_the_mean_pixel(rng: np.random.Generator) -> None:
    marked = np.zeros((200, 20, 10, 3), dtype=np.uint8)
    marked[:, 10, 5] = 255
    shifted = shift(marked, 0.1, rng)
    places = np.argwhere((shifted == 255).all(axis=-1))[:, 1:] - (10, 5)
    assert len(places) == 200
    assert set(np.unique(places).tolist()) == {-2, -1, 0, 1, 2}
    filled = (shifted == MEAN_PIXEL_BGR).all(axis=-1).sum(axis=(1, 2))
    np.testing.assert_array_equal(filled, 200 - (20 - abs(places[:, 0])) * (10 - abs(places[:, 1])))


def test_colour_tables_rise_and_stay_within_their_bounds(rng: np.random.Generator) -> None:
    tables = colour_tables(50, AugmentSettings(brightness=0.2, contrast=0, colour_cast=0), rng)
    assert tables.shape == (50, 1, 256, 3)
    assert (np.diff(tables.astype(int), axis=2) >= 0).all()
    assert 79 <= tables[:, 0, 100].min() < tables[:, 0, 100].max() <= 121


def test_erase_fills_one_rectangle_of_bounded_size(crops: UInt8Array, rng: np.random.Generator) -> None:
    erased = crops.copy()
    erase(erased, AugmentSettings(erase=1, erase_most=0.3), rng)
    for before, after in zip(crops, erased, strict=True):
        rows, columns = np.nonzero((before != after).any(axis=-1))
        region = after[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (region == MEAN_PIXEL_BGR).all()
        assert region[..., 0].size <= 0.32 * 64 * 32


def test_resize_keeps_a_batch_of_the_right_size(crops: UInt8Array) -> None:
    assert resize_batch(crops, height_px=64, width_px=32) is crops
    assert resize_batch(crops, height_px=32, width_px=16).shape == (6, 32, 16, 3)
