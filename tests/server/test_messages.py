from __future__ import annotations

from reid.types import Box, ReleaseRef
from server.api import messages
from server.types import Camera, EdgeSummary, PersonSummary, Sighting, Totals, TrackletSummary

PERSON = PersonSummary(
    person_id=2**40,
    camids=("a", "b"),
    num_tracklets=3,
    num_observations=9,
    start_us=-5,
    end_us=2**60,
    is_provisional=True,
)


def test_persons_survive_the_wire() -> None:
    assert messages.person_from_proto(messages.person_to_proto(PERSON)) == PERSON


def test_matches_survive_the_wire() -> None:
    match = messages.PersonMatch(person=PERSON, similarity=0.5, camid="b", is_match=True)
    assert messages.match_from_proto(messages.match_to_proto(match)) == match


def test_tracklets_survive_the_wire() -> None:
    tracklet = TrackletSummary(
        camera=Camera("e", "c"),
        tracklet_id=-7,
        person_id=1,
        start_us=1,
        end_us=2,
        num_observations=1,
        sightings=(Sighting(time_us=1, box=Box(1, 2, 3, 4), quality=0.5),),
    )
    assert messages.tracklet_from_proto(messages.tracklet_to_proto(tracklet)) == tracklet


def test_a_status_survives_the_wire() -> None:
    edge = EdgeSummary(edge_id="e", num_observations=1, acked_seq=2, last_seen_us=3, camids=("c",), is_connected=True)
    status = messages.ServerStatus(
        protocol_version=1,
        release=ReleaseRef("n", "v", "s"),
        totals=Totals(num_observations=1, num_tracklets=2, num_persons=3, num_provisional=7),
        num_duplicates=4,
        num_rejected=5,
        edges=(edge,),
        started_at_us=6,
    )
    assert messages.status_from_proto(messages.status_to_proto(status)) == status
