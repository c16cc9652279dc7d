from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_dataset import write_people
from fakes_disk import small_disk

from reid.preprocess import decode_image, read_image, resize_crop
from reid.types import UInt8Array
from train.crop_cache import load_crops
from train.errors import DatasetError


def test_crops_are_those_of_preprocess_in_the_order_given(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=2, num_crops=3)
    cached = load_crops(samples[::-1], tmp_path / "cache")
    assert cached.samples == tuple(samples[::-1])
    np.testing.assert_array_equal(cached.crops[0], resize_crop(read_image(samples[-1].path)))
    assert cached.crops.shape == (6, 256, 128, 3)
    assert cached.crops.dtype == np.uint8


def test_second_load_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = write_people(tmp_path / "data", num_pids=1, num_crops=2)
    first = load_crops(samples, tmp_path / "cache")
    monkeypatch.delattr("train.crop_cache.decode_image")
    np.testing.assert_array_equal(load_crops(samples, tmp_path / "cache").crops, first.crops)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_changed_picture_is_decoded_again(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=2, num_crops=1)
    before = load_crops(samples[:1], tmp_path / "cache").crops
    samples[0].path.write_bytes(samples[1].path.read_bytes())
    assert not np.array_equal(load_crops(samples[:1], tmp_path / "cache").crops, before)


def test_a_broken_off_fill_is_filled_again(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=1, num_crops=1)
    load_crops(samples, tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*.json")
    index.write_text('{"array": "gone.npy", "skipped": []}')
    assert len(load_crops(samples, tmp_path / "cache").crops) == 1


def test_of_two_processes_that_fill_a_cache_the_later_takes_the_array_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, cache = write_people(tmp_path / "data", num_pids=1, num_crops=1), tmp_path / "cache"

    def decode_while_another_process_fills(content: bytes, *, name: str) -> UInt8Array:
        monkeypatch.undo()
        load_crops(samples, cache)
        return decode_image(content, name=name)

    monkeypatch.setattr("train.crop_cache.decode_image", decode_while_another_process_fills)
    assert len(load_crops(samples, cache).crops) == 1
    assert len(list(cache.glob("*.npy"))) == 1


def test_a_damaged_picture_is_skipped_and_counted(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=10, num_crops=10)
    samples[7].path.write_bytes(b"\xff\xd8 torn")
    for _ in range(2):  # decoded, then from the cache
        cached = load_crops(samples, tmp_path / "cache")
        assert cached.skipped == (samples[7].path,)
        assert (len(cached.samples), len(cached.crops)) == (99, 99)
        assert samples[7] not in cached.samples


def test_many_damaged_pictures_are_an_error_that_leaves_no_file(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=2, num_crops=5)
    samples[3].path.write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"1 of 10 pictures are damaged.*{samples[3].path.name}"):
        load_crops(samples, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=1, num_crops=2)
    samples[1].path.unlink()
    with pytest.raises(DatasetError, match=rf"cannot read .*{samples[1].path.name}"):
        load_crops(samples, tmp_path / "cache")


def test_nothing_to_decode_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no sample to decode"):
        load_crops([], tmp_path)


def test_a_full_disk_is_an_error_that_leaves_no_file(tmp_path: Path) -> None:
    samples = write_people(tmp_path / "data", num_pids=5, num_crops=5)
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(OSError, match=r"No space left on device: it takes 2\.5 MB"):
            load_crops(samples, disk / "cache")
        assert list((disk / "cache").iterdir()) == []
