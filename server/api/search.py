"""The search service: operators and their tools ask who was where. Reads only; work runs in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import grpc

from protos import search_pb2, search_pb2_grpc
from reid.types import PROTOCOL_VERSION, ReleaseRef
from server.api.errors import answering
from server.api.messages import (
    PersonMatch,
    ServerStatus,
    match_to_proto,
    person_to_proto,
    status_to_proto,
    tracklet_to_proto,
)
from server.errors import ProtocolError
from server.ingest import Ingest
from server.search import PersonSearch
from server.storage.records import Summaries
from server.types import NO_PERSON, EdgeSummary, PrototypeRef

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
        connected_camids: The edges connected now, and their cameras.
        release: What this server runs.
        threshold: Cosine from which a match is called one.
        started_at_us: When the server started.
    """

    def __init__(
        self,
        summaries: Summaries,
        search: PersonSearch,
        ingest: Ingest,
        *,
        connected_camids: Callable[[], dict[str, tuple[str, ...]]],
        release: ReleaseRef,
        threshold: float,
        started_at_us: int,
    ) -> None:
        self._summaries = summaries
        self._search = search
        self._ingest = ingest
        self._connected_camids = connected_camids
        self._release = release
        self._threshold = threshold
        self._started_at_us = started_at_us
        self._picture_turns = asyncio.Semaphore(_MOST_PICTURES)

    async def SearchPersons(  # noqa: N802 (the name in the proto)
        self, request: search_pb2.SearchPersonsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.SearchPersonsResponse:
        """See search.proto."""
        async with answering(context):
            async with self._picture_turns if request.WhichOneof("probe") == "image" else nullcontext():
                matches = await asyncio.to_thread(self._find, request)
            return search_pb2.SearchPersonsResponse(matches=[match_to_proto(match) for match in matches])

    async def ListPersons(  # noqa: N802
        self, request: search_pb2.ListPersonsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.ListPersonsResponse:
        """See search.proto."""
        async with answering(context):
            limit = min(request.page_size or _DEFAULT_PAGE, _MOST_PAGE)
            people = await asyncio.to_thread(
                self._summaries.list_persons, after_person_id=request.after_person_id, limit=limit
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
            while chunk := await asyncio.to_thread(lambda: list(islice(summaries, _CHUNK))):
                for summary in chunk:
                    yield tracklet_to_proto(summary)

    async def GetStatus(  # noqa: N802
        self, request: search_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> search_pb2.GetStatusResponse:
        """See search.proto."""
        async with answering(context):
            totals, edges = await asyncio.to_thread(lambda: (self._summaries.totals(), self._summaries.list_edges()))
            status = ServerStatus(
                protocol_version=PROTOCOL_VERSION,
                release=self._release,
                totals=totals,
                num_duplicates=self._ingest.num_duplicates,
                num_rejected=self._ingest.num_rejected,
                edges=with_connections(edges, self._connected_camids()),
                started_at_us=self._started_at_us,
            )
            return status_to_proto(status)

    def _find(self, request: search_pb2.SearchPersonsRequest) -> list[PersonMatch]:
        top = min(request.top or _DEFAULT_TOP, _MOST_TOP)
        probe = request.WhichOneof("probe")
        if probe == "image":
            found = self._search.by_image(request.image, top=top)
        elif probe == "embedding":
            found = self._search.by_embedding(request.embedding, top=top)
        else:
            raise ProtocolError("a search needs an image or an embedding")
        return self._to_matches(found)

    def _to_matches(self, found: Sequence[tuple[PrototypeRef, float]]) -> list[PersonMatch]:
        people = self._summaries.get_persons([ref.person_id for ref, _ in found])
        camids = self._summaries.get_camids([ref.camera_key for ref, _ in found])
        return [
            PersonMatch(
                person=people[ref.person_id],
                similarity=similarity,
                camid=camids[ref.camera_key],
                is_match=similarity >= self._threshold,
            )
            for ref, similarity in found
            if ref.person_id in people  # folded since the gallery was searched
        ]


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
