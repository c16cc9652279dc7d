from __future__ import annotations

import pytest
from fakes_crop_edges import store_of
from fakes_stream import SECOND_US, ServerParts, batch, observation
from test_identities import walk

from server.crops.store import ArrivedCrop
from server.storage.sightings import SqlSightings
from server.types import Camera, CropName


@pytest.fixture
def sightings(parts: ServerParts) -> SqlSightings:
    """Persons 1 (tracklets 1 and 3) and 2 (tracklet 2) in cam1, at 0, 100 and 200 s; a provisional one in cam2."""
    for index, person in enumerate((0, 1, 0)):
        parts.ingest.step([walk(person, tracklet_id=index + 1, start_s=100 * index, first_seq=1 + 4 * index)])
    parts.ingest.step([batch(13, observation(5, camid="cam2", tracklet_id=4, time_s=300))])
    return SqlSightings(parts.engine)


def test_activity_counts_what_began_lately_and_who_is_in_view(sightings: SqlSightings) -> None:
    one, two = sightings.activity(since_us=90 * SECOND_US, in_view_us=203 * SECOND_US)
    assert (one.camera, one.num_tracklets, one.num_observations) == (Camera("edge1", "cam1"), 2, 8)
    assert (one.num_in_view, one.last_us) == (1, 203 * SECOND_US)
    assert (two.camera.camid, two.num_tracklets, two.num_in_view, two.last_us) == ("cam2", 1, 1, 300 * SECOND_US)


def test_a_camera_that_saw_nobody_lately_has_no_rates(sightings: SqlSightings) -> None:
    one, _ = sightings.activity(since_us=400 * SECOND_US, in_view_us=400 * SECOND_US)
    assert (one.num_tracklets, one.num_observations, one.num_in_view, one.last_us) == (0, 0, 0, 203 * SECOND_US)


def test_the_latest_come_first_and_provisional_persons_not_at_all(parts: ServerParts, sightings: SqlSightings) -> None:
    latest = sightings.latest(limit=2)
    assert [(each.tracklet_key, each.summary.person_id) for each in latest] == [(3, 1), (2, 2)]
    assert latest[0].summary.camera == Camera("edge1", "cam1")
    assert sightings.latest_persons(most_tracklets=9, most=9) == [1, 2]
    assert sightings.latest_persons(most_tracklets=9, most=1) == [1]
    assert [stay.person_id for stay in sightings.stays(limit=9)] == [1, 2, 1]


def test_tracklets_are_found_by_key_with_their_cameras(sightings: SqlSightings) -> None:
    assert {key: found.tracklet_id for key, found in sightings.find([2, 4, 99]).items()} == {2: 2, 4: 4}
    assert sorted(sightings.cameras().values()) == [Camera("edge1", "cam1"), Camera("edge1", "cam2")]


def test_tracklets_with_crops_are_told_from_those_without(parts: ServerParts, sightings: SqlSightings) -> None:
    store = store_of(parts)
    arrived = [ArrivedCrop(CropName(1, 5), 2, 0, b"jpeg")]
    store.keep("edge1", arrived, num_crops=1, num_bytes=4)
    assert sightings.with_crops([1, 2, 3]) == {2}
