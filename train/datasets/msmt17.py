"""MSMT17 (Wei et al., CVPR 2018), V1 and V2 (the same pictures with faces masked).

    list_train.txt list_val.txt list_query.txt list_gallery.txt      lines "0000/0000_000_01_0303morning_0015_0.jpg 0"
    train/ test/                                  V1
    mask_train_v2/ mask_test_v2/                  V2

Both train and val train, as is usual. The lists number the persons of training and test from 0 each; here they are
1 … 1041 and 1042 … 4101, for 0 means a distractor everywhere else. Camera and frame come from the file name; a
recording is a day and time of day.
"""

from __future__ import annotations

import re
from pathlib import Path

from train.datasets.counts import Counts, SplitCounts, check_split
from train.datasets.pictures import first_folder
from train.datasets.samples import ReidSample, Split
from train.errors import DatasetError

_TRAIN_FOLDERS, _TEST_FOLDERS = ("train", "mask_train_v2"), ("test", "mask_test_v2")
_LINE = re.compile(r"(\S+)\s+(\d+)")
_NAME = re.compile(r"\d{4}_\d{3}_(\d{2})_(\d{4})(morning|noon|afternoon)_(\d+)_\d+(?:_\w+)?\.jpg")
_TIMES = {"morning": 0, "noon": 1, "afternoon": 2}
_NUM_TRAIN_PIDS = 1_041
COUNTS = SplitCounts(train=Counts(32_621, _NUM_TRAIN_PIDS), query=Counts(11_659, 3_060), gallery=Counts(82_161, 3_060))


def read_msmt17(root: Path, *, wanted: SplitCounts = COUNTS) -> Split:
    """Read the data set with its own test.

    Args:
        root: The folder with the lists.
        wanted: Its size.

    Raises:
        DatasetError: A list or a picture is missing, a line or a name has another form, or the counts differ.
    """
    train, test = first_folder(root, *_TRAIN_FOLDERS), first_folder(root, *_TEST_FOLDERS)
    split = Split(
        train=_read_list(root / "list_train.txt", train, 1) + _read_list(root / "list_val.txt", train, 1),
        query=_read_list(root / "list_query.txt", test, 1 + _NUM_TRAIN_PIDS),
        gallery=_read_list(root / "list_gallery.txt", test, 1 + _NUM_TRAIN_PIDS),
    )
    check_split(split, wanted, name=f"MSMT17 in {root}")
    return split


def parse_msmt_name(path: Path, pid: int) -> ReidSample:
    """Read camera, day, time of day and frame from `PPPP_NNN_CC_MMDDtime_FFFF_B.jpg`.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPPP_NNN_CC_MMDDtime_FFFF_B.jpg; is this an MSMT17 folder?")
    camid, day, time, frame = match.groups()
    return ReidSample(
        path=path, pid=pid, camid=int(camid), sequence=int(day) * len(_TIMES) + _TIMES[time], frame=int(frame)
    )


def _read_list(path: Path, folder: Path, first_pid: int) -> tuple[ReidSample, ...]:
    if not path.is_file():
        raise DatasetError(f"list {path} is missing; MSMT17 has list_train, list_val, list_query and list_gallery.txt")
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DatasetError(f"{path}, line {number}: wanted a picture and a number, came '{line}'")
        picture = folder / match[1]
        if not picture.is_file():
            raise DatasetError(f"{path}, line {number}: there is no picture {picture}")
        samples.append(parse_msmt_name(picture, first_pid + int(match[2])))
    return tuple(samples)
