"""CUHK03 (Li et al., CVPR 2014) with its new protocol of 767 + 700 persons (Zhong et al., CVPR 2017).

    images_labeled/   hand-drawn boxes, extracted from the .mat as P_NNN_V_II.png: pair of cameras, person within
    images_detected/  the pair, view (1 or 2), number; the same for found boxes
    splits_new_labeled.json, splits_new_detected.json

A split file is an object (or a list of one) with the keys "train", "query" and "gallery". Each holds a list of file
names of the image folder. Instead of a name, a list is taken whose first entry is the name or a path that ends in it;
many copies have that form.
Cameras are numbered 2 (pair - 1) + view.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

from train.datasets.counts import Counts, SplitCounts, check_split
from train.datasets.pictures import require_folder
from train.datasets.samples import ReidSample, Split
from train.errors import DatasetError

_NAME = re.compile(r"([1-5])_(\d{3,4})_([12])_(\d{1,2})\.(?:png|jpg)")
_PIDS_PER_PAIR = 10_000
LABELED_COUNTS = SplitCounts(train=Counts(7_368, 767), query=Counts(1_400, 700), gallery=Counts(5_328, 700))
DETECTED_COUNTS = SplitCounts(train=Counts(7_365, 767), query=Counts(1_400, 700), gallery=Counts(5_332, 700))


def parse_cuhk03_name(path: Path) -> ReidSample:
    """Read `P_NNN_V_II.png`.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not P_NNN_V_II.png; is this a folder of extracted CUHK03 crops?")
    pair, person, view, number = (int(part) for part in match.groups())
    return ReidSample(
        path=path, pid=pair * _PIDS_PER_PAIR + person, camid=2 * (pair - 1) + view, sequence=0, frame=number
    )


def read_new_protocol(root: Path, *, boxes: str, wanted: SplitCounts) -> Split:
    """Read the new protocol.

    Args:
        root: The folder with the image folders and the split files.
        boxes: "labeled" or "detected".
        wanted: Sizes of the parts.

    Raises:
        DatasetError: A folder, list or picture is missing, something has another form, or the counts differ.
    """
    folder, path = require_folder(root / f"images_{boxes}"), root / f"splits_new_{boxes}.json"
    lists = _read_lists(path)
    split = Split(*(_placed(lists[part], folder, path) for part in Split._fields))
    check_split(split, wanted, name=f"CUHK03 {boxes} in {root}")
    return split


read_labeled = partial(read_new_protocol, boxes="labeled", wanted=LABELED_COUNTS)
read_detected = partial(read_new_protocol, boxes="detected", wanted=DETECTED_COUNTS)


def _read_lists(path: Path) -> dict[str, list[Any]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read split file {path}: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"split file {path} is not JSON: {error}") from None
    lists = values[0] if isinstance(values, list) and len(values) == 1 else values
    if not isinstance(lists, dict) or any(not isinstance(lists.get(part), list) for part in Split._fields):
        raise DatasetError(f"split file {path}: wanted an object with the lists train, query and gallery")
    return lists


def _placed(entries: list[Any], folder: Path, path: Path) -> tuple[ReidSample, ...]:
    samples = []
    for entry in entries:
        name = entry[0] if isinstance(entry, list) and entry else entry
        if not isinstance(name, str):
            raise DatasetError(f"split file {path}: wanted a file name, came {entry!r}")
        picture = folder / PureWindowsPath(name).name  # understands both kinds of slashes
        if not picture.is_file():
            raise DatasetError(f"split file {path}: there is no picture {picture}")
        samples.append(parse_cuhk03_name(picture))
    return tuple(samples)
