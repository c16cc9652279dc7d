"""Crops decoded and resized once, kept as one memory-mapped uint8 array.

    <cache>/<key>.json          which array file is current, and which pictures were skipped; written last
    <cache>/<key>-<random>.npy  uint8 (N, 256, 128, 3) BGR

The key is a hash of every picture's name and bytes and of the preprocessing rule, so a changed picture is a new cache.
The .json is the commit: an array without it was broken off and is never read. Of two processes that fill the same cache
the one that is done later takes the other's array.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from reid.errors import ImageError
from reid.files import write_json_atomic
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX, decode_image, resize_crop
from reid.types import UInt8Array
from train.datasets.samples import ReidSample
from train.errors import DatasetError
from train.row_file import write_rows

logger = structlog.get_logger(__name__)

DEFAULT_CACHE = Path("~/.cache/osprey")
MOST_UNREADABLE = 0.01
"""Share of pictures that may be damaged before the data set is refused."""
_RULE = f"1 area-down-linear-up {INPUT_HEIGHT_PX}x{INPUT_WIDTH_PX}"


@dataclass(frozen=True)
class CachedCrops:
    """Crops with their labels.

    Attributes:
        samples: N labels, in the order given, without those whose picture could not be read.
        crops: uint8 (N, 256, 128, 3) BGR, memory-mapped, read-only.
        skipped: Pictures that could not be read.
    """

    samples: tuple[ReidSample, ...]
    crops: UInt8Array
    skipped: tuple[Path, ...]


class _Entry(NamedTuple):
    """Content of an index file: name of the array, and rows of the samples that have no picture in it."""

    array: str
    skipped: list[int]


def load_crops(samples: Sequence[ReidSample], cache: Path) -> CachedCrops:
    """Decode every sample's picture, or find that this was done before.

    Args:
        samples: What to decode.
        cache: Folder of the cache; made if missing.

    Raises:
        DatasetError: A file is missing, nothing is left, or more than 1 % of the pictures are damaged.
        OSError: The cache cannot be written, or the disk is full.
    """
    if not samples:
        raise DatasetError("no sample to decode: the chosen part of the data set is empty")
    cache = cache.expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / f"{_content_key(samples)}.json"
    entry = _read_entry(index) or _fill(samples, index)
    skipped = set(entry.skipped)
    crops: UInt8Array = np.load(cache / entry.array, mmap_mode="r")
    return CachedCrops(
        samples=tuple(sample for row, sample in enumerate(samples) if row not in skipped),
        crops=crops[: len(samples) - len(skipped)],
        skipped=tuple(samples[row].path for row in entry.skipped),
    )


def _content_key(samples: Sequence[ReidSample]) -> str:
    digest = hashlib.sha256(_RULE.encode())
    for sample in samples:
        digest.update(sample.path.name.encode())
        digest.update(hashlib.sha256(_read_bytes(sample.path)).digest())
    return digest.hexdigest()[:32]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from None


def _read_entry(index: Path) -> _Entry | None:
    try:
        values = json.loads(index.read_text(encoding="utf-8"))
        entry = _Entry(array=values["array"], skipped=values["skipped"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not filled yet, or a damaged index: filling again is always right
    return entry if (index.parent / entry.array).is_file() else None


def _fill(samples: Sequence[ReidSample], index: Path) -> _Entry:
    logger.info("decoding crops", num_crops=len(samples), cache=str(index.parent))
    handle, name = tempfile.mkstemp(dir=index.parent, prefix=f"{index.stem}-", suffix=".npy")
    os.close(handle)
    path = Path(name)
    try:
        skipped = _decode_into(path, samples)
        if (theirs := _read_entry(index)) is not None:
            path.unlink()
            return theirs
        entry = _Entry(array=path.name, skipped=skipped)
        write_json_atomic(index, entry._asdict())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return entry


def _decode_into(path: Path, samples: Sequence[ReidSample]) -> list[int]:
    """Fill an array file with the readable pictures, first rows first; return the rows of the others."""
    skipped: list[int] = []
    write_rows(path, (len(samples), INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3), _readable(samples, skipped))
    if len(skipped) > MOST_UNREADABLE * len(samples):
        raise DatasetError(
            f"{len(skipped)} of {len(samples)} pictures are damaged, more than {MOST_UNREADABLE:.0%} "
            f"(first: {samples[skipped[0]].path}); get the data set again"
        )
    return skipped


def _readable(samples: Sequence[ReidSample], skipped: list[int]) -> Iterator[UInt8Array]:
    for row, sample in enumerate(samples):
        try:
            yield resize_crop(decode_image(_read_bytes(sample.path), name=str(sample.path)))
        except ImageError as error:
            logger.warning("picture skipped", reason=str(error))
            skipped.append(row)
