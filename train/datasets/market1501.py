"""Market-1501 (Zheng et al., ICCV 2015).

    official   bounding_box_train, query, bounding_box_test as published: 0000 are distractors, which stay in the
               gallery as nobody's match; -1 is junk, which scores leave out
    500-251    the training part alone: of its 751 identities, sorted, the first 500 train and the last 251 are the
               test (query: of each identity and camera the first crop by name; gallery: the rest)
    all        the training part alone: all of it trains, nothing is left to test on
    source-250 the first 250 of those 500 identities train, nothing is left to test on: a labelled source ...
    target-250 ... for the other 250 as a site without labels; the test is that of 500-251

Copies with the training part alone serve all but the first.
"""

from __future__ import annotations

import re
from pathlib import Path

from train.datasets.counts import Counts, SplitCounts, check_counts, check_split
from train.datasets.pictures import read_pictures
from train.datasets.samples import ReidSample, Split, labelled_pids
from train.datasets.splits import split_all, split_by_identity
from train.errors import DatasetError

_NAME = re.compile(r"(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg")
_TRAIN_FOLDER = "bounding_box_train"
COUNTS = SplitCounts(train=Counts(12_936, 751), query=Counts(3_368, 750), gallery=Counts(19_732, 750))
"""Of the 19,732, 2,793 are distractors and 3,819 junk."""


def parse_market_name(path: Path) -> ReidSample:
    """Read `PPPP_cCsS_FFFFFF_BB.jpg`.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPPP_cCsS_FFFFFF_BB.jpg; is this a Market-1501 folder?")
    pid, camid, sequence, frame, _ = (int(part) for part in match.groups())
    return ReidSample(path=path, pid=pid, camid=camid, sequence=sequence, frame=frame)


def read_market_folder(folder: Path) -> tuple[ReidSample, ...]:
    """Read the names of one folder of Market-1501 crops, sorted by name; files other than .jpg are left alone.

    Raises:
        DatasetError: The folder is missing or has no .jpg, or a name has another form.
    """
    return read_pictures(folder, parse_market_name)


def read_training_part(root: Path, *, wanted: Counts = COUNTS.train) -> tuple[ReidSample, ...]:
    """Read the training part and check that it is whole.

    Args:
        root: The folder `bounding_box_train`, or the one that holds it.
        wanted: Its size.

    Raises:
        DatasetError: Missing, misnamed or incomplete.
    """
    inner = root / _TRAIN_FOLDER
    folder = inner if inner.is_dir() else root
    samples = read_market_folder(folder)
    check_counts(samples, wanted, name=f"Market-1501 training part in {folder}")
    return samples


def read_official(root: Path, *, wanted: SplitCounts = COUNTS) -> Split:
    """Read the whole data set with its own test.

    Raises:
        DatasetError: Missing, misnamed or incomplete.
    """
    split = Split(*(read_market_folder(root / name) for name in (_TRAIN_FOLDER, "query", "bounding_box_test")))
    check_split(split, wanted, name=f"Market-1501 in {root}")
    return split


def read_500_251(root: Path) -> Split:
    """Split the training part into 500 identities to train on and 251 to test on."""
    return split_by_identity(read_training_part(root), num_train_pids=500)


def read_all(root: Path) -> Split:
    """Train on the whole training part."""
    return split_all(read_training_part(root))


def read_source_250(root: Path) -> Split:
    """Train on the first half of the identities that 500-251 trains on."""
    return split_all(_half_of_500(root, is_first=True))


def read_target_250(root: Path) -> Split:
    """Train on the second half of the identities that 500-251 trains on, and test on its test."""
    return read_500_251(root)._replace(train=_half_of_500(root, is_first=False))


def _half_of_500(root: Path, *, is_first: bool) -> tuple[ReidSample, ...]:
    """Training samples of 500-251 whose identities are in the first or second half, sorted."""
    train = read_500_251(root).train
    pids = labelled_pids(train)
    half = set(pids[: len(pids) // 2] if is_first else pids[len(pids) // 2 :])
    return tuple(sample for sample in train if sample.pid in half)
