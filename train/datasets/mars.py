"""MARS (Zheng et al., ECCV 2016) and data sets of its form: tracklets as folders of frames.

    bbox_train/PPPP/PPPPCcTttttFfff.jpg      person, camera, tracklet, frame: 0001C1T0001F001.jpg
    bbox_test/…                              person 0000: distractors; 00-1: junk

    tracklets   every frame of the test; to be scored by tracklet means
    single      the first frame of every tracklet of the test

Of each test person and camera the first tracklet by number asks, the others are searched. That is how MARS was made
too, but its own list of queries (info/query_IDX.mat) is not read: scores are close to the published protocol's, not
the same. No counts are checked, since any data set of this form is welcome.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from train.datasets.pictures import read_pictures
from train.datasets.samples import DISTRACTOR_PID, ReidSample, Split, tracklets_of
from train.errors import DatasetError

_NAME = re.compile(r"(\d{4}|00-1)C(\d)T(\d{4})F(\d{3,4})\.jpg")
_JUNK = "00-1"


def parse_mars_name(path: Path) -> ReidSample:
    """Read `PPPPCcTttttFfff.jpg`; the tracklet is the sequence.

    Raises:
        DatasetError: The name has another form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: name is not PPPPCcTttttFfff.jpg; is this a folder of MARS tracklets?")
    pid, camid, tracklet, frame = match.groups()
    return ReidSample(
        path=path, pid=-1 if pid == _JUNK else int(pid), camid=int(camid), sequence=int(tracklet), frame=int(frame)
    )


def read_mars(root: Path, *, first_frames_only: bool) -> Split:
    """Read training part and test.

    Args:
        root: The folder with bbox_train and bbox_test.
        first_frames_only: Keep one frame of each tracklet of the test.

    Raises:
        DatasetError: A folder is missing or empty, or a name has another form.
    """
    train = read_pictures(root / "bbox_train", parse_mars_name, pattern="*/*")
    test = read_pictures(root / "bbox_test", parse_mars_name, pattern="*/*")
    return split_tracklets(train, test, first_frames_only=first_frames_only)


read_tracklets = partial(read_mars, first_frames_only=False)
read_single = partial(read_mars, first_frames_only=True)


def split_tracklets(train: Sequence[ReidSample], test: Sequence[ReidSample], *, first_frames_only: bool) -> Split:
    """Of each person and camera of the test, the tracklet with the lowest number asks; the others are searched."""
    first_sequence: dict[tuple[int, int], int] = {}
    for sample in test:
        view = sample.pid, sample.camid
        first_sequence[view] = min(sample.sequence, first_sequence.get(view, sample.sequence))
    kept = [test[rows[0]] for rows in tracklets_of(test)] if first_frames_only else list(test)
    asks = [s.pid > DISTRACTOR_PID and s.sequence == first_sequence[s.pid, s.camid] for s in kept]
    return Split(
        train=tuple(s for s in train if s.pid > DISTRACTOR_PID),
        query=tuple(s for s, is_query in zip(kept, asks, strict=True) if is_query),
        gallery=tuple(s for s, is_query in zip(kept, asks, strict=True) if not is_query),
    )
