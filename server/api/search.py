"""The search service: operators and their tools ask who was where. Work runs in threads.

Whoever asks for a person's whereabouts stands in the audit log before the answer goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import grpc

from protos import search_pb2, search_pb2_grpc
from reid.types import PROTOCOL_VERSION
from server.api.errors import answering
from server.api.messages import (
    PersonMatch,
    ServerStatus,
    match_to_proto,
    person_to_proto,
    status_to_proto,
    tracklet_to_proto,
)
from server.audit_trail import AuditTrail
from server.errors import ProtocolError
from server.ingest import Ingest
from server.moments import moment
from server.search import PersonSearch
from server.served import Served
from server.storage.records import Summaries
from server.types import EVERYTHING, NO_PERSON, EdgeSummary, PrototypeRef, Scope, TrackletSummary

_DEFAULT_TOP = 10
_MOST_TOP = 1000
_DEFAULT_PAGE = 100
_MOST_PAGE = 1000
_CHUNK = 100
"""Tracklets read in one go of a thread."""
_MOST_PICTURES = 2
"""Photos searched at a time; more wait without a thread, so that everything else is still answered."""


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Serves `osprey.v1.SearchService`.

    Args:
        summaries: Persons, tracklets and edges.
        search: By photo and embedding.
        ingest: Asked for its counters.
        trail: Notes who asked.
        connected_camids: The edges connected now, and their cameras.
        served: The release, with the cosine from which a match is called one.
        started_at_us: When the server started.
    """

    def __init__(
        self,
        summaries: Summaries,
        search: PersonSearch,
        ingest: Ingest,
        trail: AuditTrail,
        *,
        connected_camids: Callable[[], dict[str, tuple[str, ...]]],
        served: Served,
        started_at_us: int,
    ) -> None:
        self._summaries = summaries
        self._search = search
        self._ingest = ingest
        self._trail = trail
        self._connected_camids = connected_camids
        self._served = served
        self._started_at_us = started_at_us
        self._picture_turns = asyncio.Semaphore(_MOST_PICTURES)

    async def SearchPersons(  # noqa: N802 (the name in the proto)
        self, request: search_pb2.SearchPersonsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.SearchPersonsResponse:
        """See search.proto."""
        async with answering(context):
            turn = self._picture_turns if request.WhichOneof("probe") == "image" else nullcontext()
            async with self._trail.noted("search", _what_is_sought(request)), turn:
                matches = await asyncio.to_thread(self._find, request)
            return search_pb2.SearchPersonsResponse(matches=[match_to_proto(match) for match in matches])

    async def ListPersons(  # noqa: N802
        self, request: search_pb2.ListPersonsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.ListPersonsResponse:
        """See search.proto."""
        async with answering(context):
            limit = min(request.page_size or _DEFAULT_PAGE, _MOST_PAGE)
            people = await asyncio.to_thread(
                self._summaries.list_persons,
                after_person_id=request.after_person_id,
                limit=limit,
                with_provisional=request.with_provisional,
            )
            return search_pb2.ListPersonsResponse(
                persons=[person_to_proto(person) for person in people],
                next_after_person_id=people[-1].person_id if len(people) == limit else 0,
            )

    async def ListTracklets(  # noqa: N802
        self, request: search_pb2.ListTrackletsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[search_pb2.ListTrackletsResponse]:
        """See search.proto."""
        async with answering(context):
            if request.person_id < NO_PERSON:
                raise ProtocolError(f"person_id {request.person_id}: wanted a person's, or {NO_PERSON} for all")
            summaries = self._summaries.iter_summaries(
                person_id=request.person_id, with_sightings=request.with_sightings
            )
            async with self._trail.noted("list tracklets", _whose(request)):
                chunk = await asyncio.to_thread(_take, summaries)
            while chunk:
                for summary in chunk:
                    yield tracklet_to_proto(summary)
                chunk = await asyncio.to_thread(_take, summaries)

    async def GetStatus(  # noqa: N802
        self, request: search_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.GetStatusResponse:
        """See search.proto."""
        async with answering(context):
            totals, edges = await asyncio.to_thread(lambda: (self._summaries.totals(), self._summaries.list_edges()))
            status = ServerStatus(
                protocol_version=PROTOCOL_VERSION,
                release=self._served.now.release.ref,
                totals=totals,
                num_duplicates=self._ingest.counts.num_duplicates,
                num_rejected=self._ingest.counts.num_rejected,
                edges=with_connections(edges, self._connected_camids()),
                started_at_us=self._started_at_us,
            )
            return status_to_proto(status)

    def _find(self, request: search_pb2.SearchPersonsRequest) -> list[PersonMatch]:
        top = min(request.top or _DEFAULT_TOP, _MOST_TOP)
        scope, with_provisional = self._scope(request), request.with_provisional
        probe = request.WhichOneof("probe")
        if probe == "image":
            found = self._search.by_image(request.image, top=top, scope=scope, with_provisional=with_provisional)
        elif probe == "embedding":
            found = self._search.by_embedding(
                request.embedding, top=top, scope=scope, with_provisional=with_provisional
            )
        else:
            raise ProtocolError("a search needs an image or an embedding")
        return self._to_matches(found)

    def _scope(self, request: search_pb2.SearchPersonsRequest) -> Scope:
        camera_keys = self._summaries.find_cameras(request.camids) if request.camids else EVERYTHING.camera_keys
        if not request.HasField("span"):
            return Scope(camera_keys=camera_keys)
        if request.span.end_us < request.span.start_us:
            raise ProtocolError(f"span ends at {request.span.end_us} us, before it starts at {request.span.start_us}")
        return Scope(camera_keys=camera_keys, start_us=request.span.start_us, end_us=request.span.end_us)

    def _to_matches(self, found: Sequence[tuple[PrototypeRef, float]]) -> list[PersonMatch]:
        threshold = self._served.now.threshold
        people = self._summaries.get_persons([ref.person_id for ref, _ in found])
        camids = self._summaries.get_camids([ref.camera_key for ref, _ in found])
        attributes = self._search.attributes_of([ref.person_id for ref, _ in found])
        return [
            PersonMatch(
                person=people[ref.person_id],
                similarity=similarity,
                camid=camids[ref.camera_key],
                is_match=similarity >= threshold,
                attributes=attributes.get(ref.person_id, ()),
            )
            for ref, similarity in found
            if ref.person_id in people  # folded since the gallery was searched
        ]


def _take(summaries: Iterator[TrackletSummary]) -> list[TrackletSummary]:
    return list(islice(summaries, _CHUNK))


def _what_is_sought(request: search_pb2.SearchPersonsRequest) -> str:
    """As the audit log says it: neither the picture nor the embedding."""
    probe = request.WhichOneof("probe")
    words = [f"{probe} of {len(getattr(request, probe))} bytes" if probe else "nothing"]
    if request.camids:
        words.append(f"cameras {', '.join(request.camids)}")
    if request.HasField("span") and request.span.start_us > EVERYTHING.start_us:
        words.append(f"since {moment(request.span.start_us)}")
    if request.HasField("span") and request.span.end_us < EVERYTHING.end_us:
        words.append(f"until {moment(request.span.end_us)}")
    return "; ".join(words)


def _whose(request: search_pb2.ListTrackletsRequest) -> str:
    whose = f"person {request.person_id}" if request.person_id else "all persons"
    return f"{whose}, every sighting" if request.with_sightings else whose


def with_connections(
    stored: Sequence[EdgeSummary], connected_camids: dict[str, tuple[str, ...]]
) -> tuple[EdgeSummary, ...]:
    """Merge what is stored of the edges with who is connected now, in order of edge_id."""
    edges = {edge.edge_id: edge for edge in stored}
    for edge_id, camids in connected_camids.items():
        known = edges.get(edge_id) or EdgeSummary(
            edge_id=edge_id, num_observations=0, acked_seq=0, last_seen_us=0, camids=()
        )
        edges[edge_id] = replace(known, is_connected=True, camids=tuple(sorted({*known.camids, *camids})))
    return tuple(edges[edge_id] for edge_id in sorted(edges))
