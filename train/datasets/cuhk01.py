"""CUHK01 (Li et al., ACCV 2012): 971 persons, two crops in each of two cameras, in campus/ as PPPPNNN.png.

Crops 001 and 002 are of camera 1, 003 and 004 of camera 2. Splits 485-486-1 … 485-486-10 draw 485 persons to train on
by seeds 1 … 10; of the other 486 both crops of camera 1 ask and both of camera 2 are searched.
"""

from __future__ import annotations

import re
from pathlib import Path

from train.datasets.counts import Counts, check_counts
from train.datasets.pictures import read_pictures
from train.datasets.samples import ReidSample, Split
from train.datasets.splits import split_two_cameras
from train.errors import DatasetError

_NAME = re.compile(r"(\d{4})(00[1-4])\.png")
COUNTS = Counts(3_884, 971)


def parse_cuhk01_name(path: Path) -> ReidSample:
    """Read `PPPPNNN.png`.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPPPNNN.png with NNN from 001 to 004; is this a CUHK01 folder?")
    pid, number = int(match[1]), int(match[2])
    return ReidSample(path=path, pid=pid, camid=1 + (number - 1) // 2, sequence=0, frame=number)


def read_485_486(root: Path, *, seed: int, num_train_pids: int = 485, wanted: Counts = COUNTS) -> Split:
    """Train on 485 persons, test on the other 486.

    Args:
        root: The folder `campus`, or the one that holds it.
        seed: Of the draw.
        num_train_pids: How many train.
        wanted: Size of the data set.

    Raises:
        DatasetError: Missing, misnamed or incomplete.
    """
    folder = root / "campus" if (root / "campus").is_dir() else root
    samples = read_pictures(folder, parse_cuhk01_name, suffix=".png")
    check_counts(samples, wanted, name=f"CUHK01 in {folder}")
    return split_two_cameras(samples, num_train_pids=num_train_pids, seed=seed)
