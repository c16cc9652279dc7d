"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 pictures of 32x32 to learn from, 10,000 to test on.

Read as published, in Python batches: `cifar-10-batches-py/data_batch_1 … 5, test_batch` and `cifar-100-python/train,
test`; the folder may be given itself or the one around it. They are pickles, which could run code: these are read with
nothing but numpy arrays and plain values allowed.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from reid.types import IntArray, UInt8Array
from train.errors import DatasetError

CifarName = Literal["cifar10", "cifar100"]
SIDE_PX = 32
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Layout(NamedTuple):
    """Where a data set keeps what."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: bytes
    num_classes: int


LAYOUTS: dict[CifarName, _Layout] = {
    "cifar10": _Layout(
        "cifar-10-batches-py", tuple(f"data_batch_{part}" for part in range(1, 6)), ("test_batch",), b"labels", 10
    ),
    "cifar100": _Layout("cifar-100-python", ("train",), ("test",), b"fine_labels", 100),
}


class CifarPart(NamedTuple):
    """Pictures with their classes.

    Attributes:
        pictures: uint8 (N, 32, 32, 3) BGR.
        labels_N: int64, from 0.
    """

    pictures: UInt8Array
    labels_N: IntArray


class CifarSplit(NamedTuple):
    """The whole data set."""

    num_classes: int
    train: CifarPart
    test: CifarPart


def read_cifar(root: Path, name: CifarName) -> CifarSplit:
    """Read both parts.

    Raises:
        DatasetError: A batch is missing, damaged, or holds anything but pictures with classes.
    """
    layout = LAYOUTS[name]
    folder = root / layout.folder if (root / layout.folder).is_dir() else root
    train, test = (_read_part(folder, batches, layout) for batches in (layout.train, layout.test))
    return CifarSplit(layout.num_classes, train, test)


class _PlainUnpickler(pickle.Unpickler):
    """Makes arrays and plain values, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Find what a pickle may name.

        Raises:
            pickle.UnpicklingError: Anything but the parts of an array.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        return super().find_class(module, name)


def _read_part(folder: Path, batches: Sequence[str], layout: _Layout) -> CifarPart:
    parts = [_read_batch(folder / batch, layout) for batch in batches]
    return CifarPart(
        np.concatenate([part.pictures for part in parts]), np.concatenate([part.labels_N for part in parts])
    )


def _read_batch(path: Path, layout: _Layout) -> CifarPart:
    values = _unpickle(path)
    try:
        pixels, labels = np.asarray(values[b"data"]), np.asarray(values[layout.labels], dtype=np.int64)
    except (KeyError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} holds no pictures with classes ({error}): get the data set again") from None
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * SIDE_PX**2):
        raise DatasetError(f"{path}: pictures are {pixels.dtype} {pixels.shape}, wanted uint8 ({len(labels)}, 3072)")
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= layout.num_classes:
        raise DatasetError(f"{path}: wanted classes 0 to {layout.num_classes - 1}, for at least one picture")
    planes_NCHW = pixels.reshape(-1, 3, SIDE_PX, SIDE_PX)
    # Planes come as red, green, blue.
    return CifarPart(np.ascontiguousarray(planes_NCHW[:, ::-1].transpose(0, 2, 3, 1)), labels)


def _unpickle(path: Path) -> Mapping[bytes, Any]:
    try:
        with path.open("rb") as file:
            values = _PlainUnpickler(file, encoding="bytes").load()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}; wanted CIFAR's Python batches") from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise DatasetError(f"{path} is no CIFAR batch ({error}): get the data set again") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{path} holds a {type(values).__name__}, wanted a batch of CIFAR")
    return cast("Mapping[bytes, Any]", values)
