"""Pairs `x_to_proto` / `x_from_proto` for what the search service answers."""

from __future__ import annotations

from dataclasses import dataclass

from protos import common_pb2, search_pb2
from reid.attributes import Attribute
from reid.types import ReleaseRef
from reid.wire import box_from_proto, box_to_proto, release_from_proto, release_to_proto
from server.types import Camera, EdgeSummary, PersonSummary, Sighting, Totals, TrackletSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMatch:
    """A person like a probe.

    Attributes:
        person: Who.
        similarity: Cosine of the nearest prototype.
        camid: Camera of that prototype.
        is_match: At or above the release's threshold.
        attributes: What the person looks like, likeliest first; empty unless the served release has a head for it.
    """

    person: PersonSummary
    similarity: float
    camid: str
    is_match: bool
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """State of a server; duplicates and refusals are counted since it started."""

    protocol_version: int
    release: ReleaseRef
    totals: Totals
    num_duplicates: int
    num_rejected: int
    edges: tuple[EdgeSummary, ...]
    started_at_us: int


def person_to_proto(person: PersonSummary) -> search_pb2.Person:
    """A person as a message."""
    return search_pb2.Person(
        person_id=person.person_id,
        camids=person.camids,
        num_tracklets=person.num_tracklets,
        num_observations=person.num_observations,
        span=common_pb2.TimeSpan(start_us=person.start_us, end_us=person.end_us),
        name=person.name,
        is_provisional=person.is_provisional,
    )


def person_from_proto(message: search_pb2.Person) -> PersonSummary:
    """A person from its message."""
    return PersonSummary(
        person_id=message.person_id,
        camids=tuple(message.camids),
        num_tracklets=message.num_tracklets,
        num_observations=message.num_observations,
        start_us=message.span.start_us,
        end_us=message.span.end_us,
        name=message.name,
        is_provisional=message.is_provisional,
    )


def match_to_proto(match: PersonMatch) -> search_pb2.PersonMatch:
    """A match as a message."""
    return search_pb2.PersonMatch(
        person=person_to_proto(match.person),
        similarity=match.similarity,
        camid=match.camid,
        is_match=match.is_match,
        attributes=[search_pb2.Attribute(name=found.name, probability=found.probability) for found in match.attributes],
    )


def match_from_proto(message: search_pb2.PersonMatch) -> PersonMatch:
    """A match from its message."""
    return PersonMatch(
        person=person_from_proto(message.person),
        similarity=message.similarity,
        camid=message.camid,
        is_match=message.is_match,
        attributes=tuple(Attribute(found.name, found.probability) for found in message.attributes),
    )


def tracklet_to_proto(tracklet: TrackletSummary) -> search_pb2.ListTrackletsResponse:
    """A tracklet as a message."""
    ref = common_pb2.TrackletRef(
        edge_id=tracklet.camera.edge_id, camid=tracklet.camera.camid, tracklet_id=tracklet.tracklet_id
    )
    return search_pb2.ListTrackletsResponse(
        tracklet=ref,
        person_id=tracklet.person_id,
        span=common_pb2.TimeSpan(start_us=tracklet.start_us, end_us=tracklet.end_us),
        num_observations=tracklet.num_observations,
        sightings=[
            search_pb2.Sighting(time_us=sighting.time_us, box=box_to_proto(sighting.box), quality=sighting.quality)
            for sighting in tracklet.sightings
        ],
    )


def tracklet_from_proto(message: search_pb2.ListTrackletsResponse) -> TrackletSummary:
    """A tracklet from its message."""
    return TrackletSummary(
        camera=Camera(message.tracklet.edge_id, message.tracklet.camid),
        tracklet_id=message.tracklet.tracklet_id,
        person_id=message.person_id,
        start_us=message.span.start_us,
        end_us=message.span.end_us,
        num_observations=message.num_observations,
        sightings=tuple(
            Sighting(time_us=sighting.time_us, box=box_from_proto(sighting.box), quality=sighting.quality)
            for sighting in message.sightings
        ),
    )


def status_to_proto(status: ServerStatus) -> search_pb2.GetStatusResponse:
    """A status as a message."""
    return search_pb2.GetStatusResponse(
        protocol_version=status.protocol_version,
        release=release_to_proto(status.release),
        num_observations=status.totals.num_observations,
        num_tracklets=status.totals.num_tracklets,
        num_persons=status.totals.num_persons,
        num_provisional=status.totals.num_provisional,
        num_duplicates=status.num_duplicates,
        num_rejected=status.num_rejected,
        edges=[_edge_to_proto(edge) for edge in status.edges],
        started_at_us=status.started_at_us,
    )


def status_from_proto(message: search_pb2.GetStatusResponse) -> ServerStatus:
    """A status from its message."""
    return ServerStatus(
        protocol_version=message.protocol_version,
        release=release_from_proto(message.release),
        totals=Totals(
            num_observations=message.num_observations,
            num_tracklets=message.num_tracklets,
            num_persons=message.num_persons,
            num_provisional=message.num_provisional,
        ),
        num_duplicates=message.num_duplicates,
        num_rejected=message.num_rejected,
        edges=tuple(_edge_from_proto(edge) for edge in message.edges),
        started_at_us=message.started_at_us,
    )


def _edge_to_proto(edge: EdgeSummary) -> search_pb2.EdgeStatus:
    return search_pb2.EdgeStatus(
        edge_id=edge.edge_id,
        connected=edge.is_connected,
        num_observations=edge.num_observations,
        acked_seq=edge.acked_seq,
        last_seen_us=edge.last_seen_us,
        camids=edge.camids,
    )


def _edge_from_proto(message: search_pb2.EdgeStatus) -> EdgeSummary:
    return EdgeSummary(
        edge_id=message.edge_id,
        num_observations=message.num_observations,
        acked_seq=message.acked_seq,
        last_seen_us=message.last_seen_us,
        camids=tuple(message.camids),
        is_connected=message.connected,
    )
