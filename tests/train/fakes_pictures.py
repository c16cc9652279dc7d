"""Small data sets in the layout of published ones: persons with attributes, and small pictures of things."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import savemat

from reid.types import AnyArray, BoolArray, UInt8Array
from train.datasets.cifar import LAYOUTS, CifarName

ATTRIBUTES = ("RedTop", "BlueTop", "DarkLegs")


def described_crop(labels_A: BoolArray, rng: np.random.Generator) -> UInt8Array:
    """Grey with noise; the top is red, blue, both or neither, the legs dark or not."""
    crop = rng.integers(110, 150, (64, 32, 3), dtype=np.uint8)
    is_red, is_blue, is_dark = labels_A.tolist()
    crop[8:32, 8:24] = (220 if is_blue else 40, 40, 220 if is_red else 40)
    crop[32:, 8:24] = 20 if is_dark else 210
    return crop


def write_pa100k(root: Path, *, num_train: int = 12, num_test: int = 6) -> dict[str, BoolArray]:
    """Write a data set; its labels by part."""
    rng = np.random.default_rng(0)
    pictures = root / "release_data" / "release_data"
    pictures.mkdir(parents=True)
    (root / "annotation").mkdir()
    values: dict[str, Any] = {"attributes": _cells(ATTRIBUTES)}
    labels = {}
    for part, count in {"train": num_train, "val": num_test, "test": num_test}.items():
        labels[part] = rng.random((count, len(ATTRIBUTES))) < 0.5
        names = [f"{part}{row:06d}.jpg" for row in range(count)]
        for name, row in zip(names, labels[part], strict=True):
            cv2.imwrite(str(pictures / name), described_crop(row, rng))
        values |= {f"{part}_images_name": _cells(names), f"{part}_label": labels[part].astype(np.uint8)}
    savemat(root / "annotation" / "annotation.mat", values)
    return labels


def write_cifar(root: Path, name: CifarName, *, num_pictures: int = 8) -> dict[str, UInt8Array]:
    """Write a data set of dark and light pictures (class 0 and 1); its pixels by file, as published: (N, 3072)."""
    layout = LAYOUTS[name]
    rng = np.random.default_rng(0)
    (root / layout.folder).mkdir(parents=True)
    written = {}
    for batch in (*layout.train, *layout.test):
        labels = np.arange(num_pictures) % 2
        pixels = (rng.integers(0, 60, (num_pictures, 3072)) + 180 * labels[:, None]).astype(np.uint8)
        content = {b"data": pixels, layout.labels: labels.tolist(), b"batch_label": b"made up"}
        (root / layout.folder / batch).write_bytes(pickle.dumps(content, protocol=2))
        written[batch] = pixels
    return written


def _cells(words: Any) -> AnyArray:
    cells = np.empty((len(words), 1), dtype=object)
    cells[:, 0] = list(words)
    return cells
