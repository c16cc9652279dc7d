"""Asks the server what it has stored, over the same interface that every other client uses."""

from __future__ import annotations

from types import TracebackType

import grpc

from demo.errors import DemoError
from demo.truth import StoredSighting, StoredTracklet
from protos.search_pb2 import GetStatusRequest, GetStatusResponse, ListTrackletsRequest, ListTrackletsResponse
from protos.search_pb2_grpc import SearchServiceStub
from reid.channel import open_channel
from reid.credentials import Credentials
from reid.wire import box_from_proto

_DEADLINE_S = 30.0


class Records:
    """A client of the server's search service.

    Args:
        address: `HOST:PORT`.
        credentials: Of somebody who may look.
    """

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._channel = open_channel(address, credentials)
        self._search = SearchServiceStub(self._channel)

    def status(self) -> GetStatusResponse:
        """Counts of what is stored.

        Raises:
            DemoError: The server did not answer.
        """
        try:
            return self._search.GetStatus(GetStatusRequest(), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            raise DemoError(f"the server did not answer: {error}") from None

    def tracklets(self) -> list[StoredTracklet]:
        """All tracklets with their sightings.

        Raises:
            DemoError: The server did not answer.
        """
        request = ListTrackletsRequest(with_sightings=True)
        try:
            return [_tracklet(answer) for answer in self._search.ListTracklets(request, timeout=_DEADLINE_S)]
        except grpc.RpcError as error:
            raise DemoError(f"the server did not list its tracklets: {error}") from None

    def __enter__(self) -> Records:
        """The channel connects by itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        self._channel.close()


def _tracklet(answer: ListTrackletsResponse) -> StoredTracklet:
    sightings = tuple(StoredSighting(sighting.time_us, box_from_proto(sighting.box)) for sighting in answer.sightings)
    return StoredTracklet(answer.tracklet.camid, answer.person_id, sightings)
