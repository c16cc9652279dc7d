from __future__ import annotations

import cv2
import numpy as np
import pytest
from makers import make_observation

from edge.crops import CropStore
from reid.errors import ConfigError


def grey(level):
    return np.full((256, 128, 3), level, dtype=np.uint8)


def kept_level(path):
    return round(float(cv2.imread(str(path)).mean()))


def raise_full(path, content):
    raise OSError("disk full")


@pytest.fixture
def store(tmp_path):
    return CropStore(tmp_path / "crops", limit_bytes=1 << 20)


def test_best_crop_of_a_tracklet_is_kept(tmp_path, store):
    for quality, level in ((0.3, 10), (0.8, 200), (0.5, 90)):
        store.offer(make_observation(7, quality=quality), grey(level))
    assert kept_level(tmp_path / "crops" / "cam1" / "7.jpg") == 200


def test_hardly_better_crop_is_not_written(store):
    assert store.offer(make_observation(quality=0.50), grey(1))
    assert not store.offer(make_observation(quality=0.52), grey(2))


def test_oldest_crops_leave_when_the_folder_is_full(tmp_path, rng):
    noise = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
    store = CropStore(tmp_path, limit_bytes=150_000)
    for number in range(1, 13):
        store.offer(make_observation(number), noise)
    kept = sorted(int(path.stem) for path in tmp_path.glob("cam1/*.jpg"))
    assert kept == list(range(13 - len(kept), 13))
    assert sum(path.stat().st_size for path in tmp_path.glob("cam1/*.jpg")) <= 150_000


def test_crops_of_earlier_runs_count_and_leave_first(tmp_path, rng):
    noise = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
    CropStore(tmp_path, limit_bytes=1 << 20).offer(make_observation(1), noise)
    again = CropStore(tmp_path, limit_bytes=50_000)
    again.offer(make_observation(2), noise)
    assert [path.stem for path in tmp_path.glob("cam1/*.jpg")] == ["2"]


def test_crop_that_could_not_be_replaced_still_counts_towards_the_bound(tmp_path, rng, monkeypatch):
    noise = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
    store = CropStore(tmp_path, limit_bytes=80_000)
    store.offer(make_observation(1, quality=0.1), noise)
    with monkeypatch.context() as broken_disk:
        broken_disk.setattr("edge.crops.write_atomic", raise_full)
        with pytest.raises(OSError, match="full"):
            store.offer(make_observation(1, quality=0.9), noise)
    for number in range(2, 12):
        store.offer(make_observation(number), noise)
    assert sum(path.stat().st_size for path in tmp_path.glob("cam1/*.jpg")) <= 80_000


def test_impossible_folder_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give another --crops"):
        CropStore(tmp_path / "file", limit_bytes=1 << 20)
