from __future__ import annotations

from pathlib import Path

import numpy as np

from train.crop_cache import CachedCrops
from train.datasets.samples import ReidSample
from train.site import SiteCrops, site_of


def sample(pid: int, frame: int, *, camid: int = 1, sequence: int = 1) -> ReidSample:
    return ReidSample(path=Path("x.jpg"), pid=pid, camid=camid, sequence=sequence, frame=frame)


def site(*samples: ReidSample) -> SiteCrops:
    return site_of(CachedCrops(samples, np.empty((len(samples), 2, 2, 3), np.uint8), ()))


def test_crops_of_one_person_without_a_gap_are_one_tracklet_in_any_order() -> None:
    assert site(sample(7, 200), sample(7, 0), sample(7, 100)).tracklets.tolist() == [0, 0, 0]


def test_a_gap_longer_than_a_tracker_would_bridge_makes_two_tracklets() -> None:
    assert site(sample(7, 0), sample(7, 100), sample(7, 201), sample(7, 202)).tracklets.tolist() == [0, 0, 1, 1]


def test_cameras_recordings_and_people_are_tracklets_of_their_own() -> None:
    crops = site(sample(7, 0), sample(8, 0), sample(7, 0, camid=2), sample(7, 0, sequence=2))
    assert len(set(crops.tracklets.tolist())) == 4


def test_tracklets_that_share_a_moment_of_one_camera_are_apart() -> None:
    crops = site(sample(7, 0), sample(7, 50), sample(8, 50), sample(8, 90), sample(9, 60), sample(9, 61, camid=2))
    # 7 spans 0-50, 8 spans 50-90, 9 spans 60-60 in camera 1: 7-8 and 8-9 meet, 7-9 and the other camera do not.
    assert {tuple(sorted(pair)) for pair in crops.apart.tolist()} == {(0, 1), (1, 2)}


def test_nobody_is_apart_where_nobody_meets() -> None:
    assert site(sample(7, 0), sample(8, 1)).apart.shape == (0, 2)
