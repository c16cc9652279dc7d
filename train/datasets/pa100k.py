"""PA-100K (Liu et al., HydraPlus-Net, ICCV 2017): 100,000 pictures of persons with 26 attributes each.

    annotation/annotation.mat        `attributes`, and for train, val and test `PART_images_name` and `PART_label`
    release_data/release_data/*.jpg  the pictures; `release_data`, `data` or `images` in other copies

The annotation may lie in the root too. Pictures of any other data set serve, if they are described like that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.io import loadmat

from reid.types import BoolArray, UInt8Array
from train.crop_cache import load_crops
from train.datasets.pictures import first_folder, require_folder
from train.datasets.samples import UNLABELLED_PID, ReidSample
from train.errors import DatasetError

_ANNOTATIONS = ("annotation/annotation.mat", "annotation.mat")
_PICTURES = ("release_data/release_data", "release_data", "data", "images")


class AttributePart(NamedTuple):
    """Pictures of one part, and what is to be seen on them.

    Attributes:
        paths: N pictures.
        labels_NA: bool.
    """

    paths: tuple[Path, ...]
    labels_NA: BoolArray


class AttributeSplit(NamedTuple):
    """The whole data set.

    Attributes:
        names: A attributes.
        train: To learn from.
        val: To choose by.
        test: To report on.
    """

    names: tuple[str, ...]
    train: AttributePart
    val: AttributePart
    test: AttributePart


class AttributeCrops(NamedTuple):
    """Decoded pictures of one part.

    Attributes:
        crops: uint8 (N, 256, 128, 3) BGR.
        labels_NA: bool; without the rows of damaged pictures.
    """

    crops: UInt8Array
    labels_NA: BoolArray


def read_pa100k(root: Path) -> AttributeSplit:
    """Read names, pictures and labels.

    Raises:
        DatasetError: The annotation is missing or of another form, or a picture that it names is not there.
    """
    annotation = _annotation_in(require_folder(root))
    pictures = first_folder(root, *_PICTURES)
    values = _read(annotation)
    try:
        names = tuple(_words(values["attributes"]))
        parts = [_part(values, part, pictures, len(names), annotation) for part in ("train", "val", "test")]
    except KeyError as error:
        raise DatasetError(f"{annotation} has no {error}: wanted the annotation of PA-100K") from None
    return AttributeSplit(names, *parts)


def load_part(part: AttributePart, cache: Path) -> AttributeCrops:
    """Decode a part's pictures, or find that this was done before.

    Raises:
        DatasetError: A picture is missing, or more than 1 % are damaged.
    """
    samples = [
        ReidSample(path=path, pid=UNLABELLED_PID, camid=0, sequence=0, frame=row) for row, path in enumerate(part.paths)
    ]
    cached = load_crops(samples, cache)
    rows = [sample.frame for sample in cached.samples]
    return AttributeCrops(cached.crops, part.labels_NA[rows])


def _annotation_in(root: Path) -> Path:
    for name in _ANNOTATIONS:
        if (root / name).is_file():
            return root / name
    raise DatasetError(f"data folder {root} holds no {_ANNOTATIONS[0]}")


def _read(annotation: Path) -> Mapping[str, Any]:
    try:
        values: Mapping[str, Any] = loadmat(annotation, simplify_cells=True)
    except Exception:  # scipy raises a dozen unrelated types for a file that is none of Matlab's
        raise DatasetError(f"{annotation} cannot be read as a Matlab file: get the data set again") from None
    return values


def _words(cells: Any) -> list[str]:
    return [str(cell) for cell in np.atleast_1d(cells)]


def _part(values: Mapping[str, Any], part: str, pictures: Path, num_names: int, annotation: Path) -> AttributePart:
    paths = tuple(pictures / name for name in _words(values[f"{part}_images_name"]))
    labels = np.asarray(values[f"{part}_label"])
    if len(paths) == 1:
        labels = labels.reshape(1, -1)  # Matlab's reader drops the axis of a single row
    if labels.shape != (len(paths), num_names):
        raise DatasetError(
            f"{annotation}: {part}_label is {labels.shape}, wanted {(len(paths), num_names)}: pictures x attributes"
        )
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise DatasetError(f"{annotation} names {missing.name}, and there is no {missing}")
    return AttributePart(paths, labels.astype(bool))
