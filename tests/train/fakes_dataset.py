"""Made-up people for training tests: rectangles of two colours, one pair of colours a person, with some noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from reid.types import UInt8Array
from train.crop_cache import CachedCrops
from train.datasets.market1501 import parse_market_name
from train.datasets.samples import ReidSample

NUM_CAMERAS = 2


def person_crop(pid: int, rng: np.random.Generator, *, height_px: int = 64, width_px: int = 32) -> UInt8Array:
    """One crop: grey ground, a coloured body of two halves at a varying place."""
    colours = np.random.default_rng(pid).integers(30, 226, (2, 3))
    crop = rng.integers(90, 130, (height_px, width_px, 3), dtype=np.uint8)
    left, top = rng.integers(2, width_px // 3), rng.integers(2, height_px // 6)
    right, middle, bottom = left + width_px // 2, height_px // 2, height_px - 4
    crop[top:middle, left:right] = colours[0]
    crop[middle:bottom, left:right] = colours[1]
    return crop


def sample_names(num_pids: int, num_crops: int) -> list[str]:
    """Market-1501 names, sorted; the crops of a person are dealt to two cameras in turn."""
    return sorted(
        f"{pid:04d}_c{1 + crop % NUM_CAMERAS}s1_{crop:06d}_01.jpg"
        for pid in range(1, num_pids + 1)
        for crop in range(num_crops)
    )


def write_people(folder: Path, *, num_pids: int, num_crops: int) -> list[ReidSample]:
    """Write a folder of jpegs under Market-1501 names."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    samples = [parse_market_name(folder / name) for name in sample_names(num_pids, num_crops)]
    for sample in samples:
        cv2.imwrite(str(sample.path), person_crop(sample.pid, rng))
    return samples


def people_in_memory(*, num_pids: int, num_crops: int, height_px: int = 64, width_px: int = 32) -> CachedCrops:
    """The same without files, at any size."""
    rng = np.random.default_rng(1)
    samples = tuple(parse_market_name(Path(name)) for name in sample_names(num_pids, num_crops))
    crops = np.stack([person_crop(s.pid, rng, height_px=height_px, width_px=width_px) for s in samples])
    return CachedCrops(samples=samples, crops=crops, skipped=())
