"""VIPeR (Gray et al., PETS 2007): 632 persons, one crop each in cam_a and cam_b, named PPP_ANGLE.bmp.

Its protocol: a random half of the persons trains, the other 316 are the test; scores are means over ten draws. Here
the splits half-1 … half-10 draw by seeds 1 … 10; cam_a asks and cam_b is searched.
"""

from __future__ import annotations

import re
from pathlib import Path

from train.datasets.counts import Counts, check_counts
from train.datasets.pictures import read_pictures
from train.datasets.samples import ReidSample, Split
from train.datasets.splits import split_two_cameras
from train.errors import DatasetError

_NAME = re.compile(r"(\d{3})_(\d{1,3})\.bmp")
_CAMERAS = {"cam_a": 1, "cam_b": 2}
COUNTS_PER_CAMERA = Counts(632, 632)


def parse_viper_name(path: Path) -> ReidSample:
    """Read `PPP_ANGLE.bmp` in a folder cam_a or cam_b; persons are numbered from 1 here, from 0 there.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPP_ANGLE.bmp; is this a VIPeR folder?")
    return ReidSample(path=path, pid=1 + int(match[1]), camid=_CAMERAS[path.parent.name], sequence=0, frame=0)


def read_half(root: Path, *, seed: int, wanted: Counts = COUNTS_PER_CAMERA) -> Split:
    """Train on a random half of the persons, test on the other.

    Args:
        root: The folder with cam_a and cam_b.
        seed: Of the draw.
        wanted: Size of each camera's folder.

    Raises:
        DatasetError: Missing, misnamed or incomplete.
    """
    samples: tuple[ReidSample, ...] = ()
    for folder in _CAMERAS:
        crops = read_pictures(root / folder, parse_viper_name, suffix=".bmp")
        check_counts(crops, wanted, name=f"VIPeR in {root / folder}")
        samples += crops
    return split_two_cameras(samples, num_train_pids=wanted.num_pids // 2, seed=seed)
