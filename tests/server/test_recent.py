from __future__ import annotations

from fakes_stream import observation

from server.matching.recent import RecentTracklets
from server.matching.tracklets import new_tracklet
from server.types import CameraSpan, Tracklet, TrackletName


def tracklet(tracklet_id: int, *, updated_us: int) -> Tracklet:
    made = new_tracklet(TrackletName(1, tracklet_id, "s"), observation(), tracklet_key=tracklet_id)
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


def test_it_knows_which_moments_of_a_camera_it_may_have_forgotten() -> None:
    recent = RecentTracklets()
    for end_us in (70, 30):
        old = tracklet(end_us, updated_us=10)
        old.end_us = end_us
        recent.keep(old)
    assert not recent.may_lack(CameraSpan(1, 0, 100))
    recent.expire(before_us=20)
    spans = [CameraSpan(1, 70, 80), CameraSpan(1, 71, 80), CameraSpan(2, 0, 100)]
    assert [recent.may_lack(span) for span in spans] == [True, False, False]


def test_nothing_expires_from_an_empty_map() -> None:
    assert RecentTracklets().expire(before_us=10**18) == []
