"""A client of the search service, for the command line and tools: answers are domain objects, errors are explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import grpc

from protos import common_pb2, search_pb2, search_pb2_grpc
from reid.channel import open_channel
from reid.credentials import Credentials
from server.api.messages import (
    PersonMatch,
    ServerStatus,
    match_from_proto,
    person_from_proto,
    status_from_proto,
    tracklet_from_proto,
)
from server.errors import NotFoundError, RefusedError, UnreachableError
from server.types import NO_PERSON, PersonSummary, TrackletSummary

_PAGE = 500
_LARGEST_MESSAGE_BYTES = 64 << 20


class SearchClient:
    """Talks to one server. Use as a context manager.

    Args:
        address: HOST:PORT.
        timeout_s: Deadline of one call; listing tracklets may take ten times as long.
        credentials: Who asks; None for a server on this machine without TLS.

    Raises:
        ConfigError: No credentials, and the server is another machine.
        CredentialsError: They have ended.

    Every method raises UnreachableError without an answer, RefusedError when the answer is no.
    """

    def __init__(self, address: str, *, timeout_s: float = 20.0, credentials: Credentials | None = None) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._has_credentials = credentials is not None
        self._channel = open_channel(
            address, credentials, options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES)]
        )
        self._stub = search_pb2_grpc.SearchServiceStub(self._channel)

    def __enter__(self) -> SearchClient:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._channel.close()

    def search_image(
        self,
        image: bytes,
        *,
        top: int,
        camids: Sequence[str] = (),
        span: tuple[int, int] | None = None,
        with_provisional: bool = False,
    ) -> list[PersonMatch]:
        """Persons most like a photo of one.

        Args:
            image: An encoded picture, cropped to the person.
            top: Most persons wanted.
            camids: Only sightings by these cameras; empty for all.
            span: Only sightings from one moment until another, microseconds since the Unix epoch; None for all times.
            with_provisional: Also persons of whom too little was seen to rest an identity on.

        Returns:
            Best first.
        """
        request = search_pb2.SearchPersonsRequest(
            image=image, top=top, camids=camids, span=_span(span), with_provisional=with_provisional
        )
        return self._search(request)

    def search_embedding(
        self,
        embedding: bytes,
        *,
        top: int,
        camids: Sequence[str] = (),
        span: tuple[int, int] | None = None,
        with_provisional: bool = False,
    ) -> list[PersonMatch]:
        """Persons most like an embedding of D little-endian halves; else as `search_image`."""
        request = search_pb2.SearchPersonsRequest(
            embedding=embedding, top=top, camids=camids, span=_span(span), with_provisional=with_provisional
        )
        return self._search(request)

    def iter_persons(self, *, with_provisional: bool = False) -> Iterator[PersonSummary]:
        """All persons, in order of person_id, a page at a time; provisional ones only if they are asked for."""
        after = 0
        while True:
            with self._explaining():
                request = search_pb2.ListPersonsRequest(
                    page_size=_PAGE, after_person_id=after, with_provisional=with_provisional
                )
                response = self._stub.ListPersons(request, timeout=self._timeout_s)
            yield from map(person_from_proto, response.persons)
            after = response.next_after_person_id
            if not after:
                return

    def iter_tracklets(self, *, person_id: int = NO_PERSON, with_sightings: bool = False) -> Iterator[TrackletSummary]:
        """Tracklets of one person, or of all, in order of their start.

        Raises:
            NotFoundError: There is no such person.
        """
        request = search_pb2.ListTrackletsRequest(person_id=person_id, with_sightings=with_sightings)
        with self._explaining():
            yield from map(tracklet_from_proto, self._stub.ListTracklets(request, timeout=10 * self._timeout_s))

    def status(self) -> ServerStatus:
        """State of the server."""
        with self._explaining():
            return status_from_proto(self._stub.GetStatus(search_pb2.GetStatusRequest(), timeout=self._timeout_s))

    def _search(self, request: search_pb2.SearchPersonsRequest) -> list[PersonMatch]:
        with self._explaining():
            response = self._stub.SearchPersons(request, timeout=self._timeout_s)
            return [match_from_proto(match) for match in response.matches]

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise UnreachableError(
                    f"no answer from a server at {self._address} ({code.name.lower()}: {details}): "
                    "is 'osprey-server run' running there?" + self._hint()
                ) from None
            kind = NotFoundError if code is grpc.StatusCode.NOT_FOUND else RefusedError
            raise kind(f"server {self._address}: {details}") from None

    def _hint(self) -> str:
        if self._has_credentials:
            return " If so, its certificate or yours may have ended, or they are of different sites."
        return " If so, it may want TLS: give --credentials FILE."


def _span(span: tuple[int, int] | None) -> common_pb2.TimeSpan | None:
    return common_pb2.TimeSpan(start_us=span[0], end_us=span[1]) if span else None
