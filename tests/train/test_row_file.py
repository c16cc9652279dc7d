from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_disk import small_disk

from train.row_file import write_rows


def test_rows_are_read_back_as_a_memory_map(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    write_rows(tmp_path / "rows.npy", rows.shape, [rows[:2], rows[2:].transpose(0, 2, 1).transpose(0, 2, 1)])
    read = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, rows)


def test_rows_that_nothing_fills_are_zero(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.npy", (3, 2), [np.full(2, 7, dtype=np.uint8)])
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy", mmap_mode="r"), [[7, 7], [0, 0], [0, 0]])


def test_a_full_disk_is_an_error_that_says_what_was_wanted(tmp_path: Path) -> None:
    part = np.ones((1, 1_000_000), dtype=np.uint8)
    with small_disk(tmp_path / "disk") as disk, pytest.raises(OSError, match=r"it takes 4\.0 MB; make room") as raised:
        write_rows(disk / "rows.npy", (4, 1_000_000), [part] * 4)
    assert raised.value.filename == str(tmp_path / "disk" / "rows.npy")
