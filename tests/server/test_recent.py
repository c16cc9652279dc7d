from __future__ import annotations

from fakes_stream import observation

from server.matching.recent import RecentTracklets
from server.matching.tracklets import new_tracklet
from server.types import Tracklet, TrackletName


def tracklet(tracklet_id: int, *, updated_us: int) -> Tracklet:
    made = new_tracklet(TrackletName(1, tracklet_id), observation(), tracklet_key=tracklet_id)
    made.updated_us = updated_us
    return made


def test_what_was_not_touched_for_long_is_forgotten() -> None:
    recent = RecentTracklets()
    old, touched = tracklet(1, updated_us=10), tracklet(2, updated_us=11)
    recent.keep(old)
    recent.keep(touched)
    touched.updated_us = 50
    recent.keep(touched)
    assert recent.expire(before_us=20) == [old]
    assert recent.get(old.name) is None
    assert recent.get(touched.name) is touched
    assert len(recent) == 1


def test_nothing_expires_from_an_empty_map() -> None:
    assert RecentTracklets().expire(before_us=10**18) == []
