"""The fleet service: edges say how they are and hear what they are to run, and download it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog

from protos import fleet_pb2, fleet_pb2_grpc
from reid.errors import OspreyError
from reid.types import PROTOCOL_VERSION, ReleaseRef, check_name
from reid.wire import release_from_proto, release_to_proto
from server.api.errors import answering
from server.errors import ProtocolError, StreamReplacedError, VersionError
from server.releases.fleet import EdgeReport, FleetBook
from server.releases.repository import ReleaseRepository
from server.releases.rollout import Answer, Directive
from server.security.callers import Caller, current_caller

logger = structlog.get_logger(__name__)

_ANSWERS: dict[int, Answer] = {
    fleet_pb2.DIRECTIVE_STATE_ACCEPTED: "accepted",
    fleet_pb2.DIRECTIVE_STATE_DONE: "done",
    fleet_pb2.DIRECTIVE_STATE_REFUSED: "refused",
}
_LEAST_GAP_S = 0.1
"""Reports of one edge are read no faster."""
_LONGEST_TEXT = 500
"""Of what an edge says in words."""
_Context = grpc.aio.ServicerContext[Any, Any]
_Requests = AsyncIterator[fleet_pb2.AttendRequest]


class _Attendance:
    """One open stream of an edge.

    Attributes:
        ended: Becomes the error with which the stream ends, if it does not end by itself.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, error: OspreyError) -> None:
        """End the stream with an error."""
        if not self.ended.done():
            self.ended.set_exception(error)

    async def read(self, requests: _Requests) -> AsyncIterator[fleet_pb2.AttendRequest]:
        """What the edge says, until either side ends it.

        Raises:
            OspreyError: Given to `end`.
        """
        while True:
            following = asyncio.ensure_future(anext(requests, None))
            await asyncio.wait((following, self.ended), return_when=asyncio.FIRST_COMPLETED)
            if self.ended.done():
                following.cancel()
                self.ended.result()
            request = await following
            if request is None:
                return
            yield request
            await asyncio.sleep(_LEAST_GAP_S)


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """Serves `osprey.v1.FleetService`.

    Args:
        book: Told what edges say.
        repository: What they download.
        directive_for: What an edge is to be told, by its edge_id.
        ref_of: Names a release by its space; may raise NotFoundError. Called in a thread.
    """

    def __init__(
        self,
        book: FleetBook,
        repository: ReleaseRepository,
        *,
        directive_for: Callable[[str], Directive | None],
        ref_of: Callable[[str], ReleaseRef],
    ) -> None:
        self._book = book
        self._repository = repository
        self._directive_for = directive_for
        self._ref_of = ref_of
        self._streams: dict[str, _Attendance] = {}

    def callers(self) -> dict[str, Caller]:
        """Who opened the streams, by edge_id."""
        return {edge_id: stream.caller for edge_id, stream in self._streams.items()}

    def end(self, edge_id: str, error: OspreyError) -> None:
        """End the stream of an edge."""
        if edge_id in self._streams:
            self._streams[edge_id].end(error)

    async def Attend(  # noqa: N802 (the name in the proto)
        self, request_iterator: Any, context: _Context
    ) -> AsyncIterator[fleet_pb2.AttendResponse]:
        """See fleet.proto."""
        async with answering(context):
            stream, edge_id, told = _Attendance(current_caller()), "", ""
            try:
                async for request in stream.read(aiter(request_iterator)):
                    if not edge_id:
                        edge_id = self._open(stream, request)
                    self._book.note(_read(request, edge_id))
                    directive = self._directive_for(edge_id)
                    if directive is not None and directive.directive_id != told:
                        told = directive.directive_id
                        yield await self._to_response(directive)
            finally:
                self._close(stream, edge_id)

    async def DownloadReleaseFile(  # noqa: N802
        self, request: fleet_pb2.DownloadReleaseFileRequest, context: _Context
    ) -> AsyncIterator[fleet_pb2.DownloadReleaseFileResponse]:
        """See fleet.proto."""
        async with answering(context):
            chunks = self._repository.read(request.path, request.offset)
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield fleet_pb2.DownloadReleaseFileResponse(chunk=chunk)

    def _open(self, stream: _Attendance, first: fleet_pb2.AttendRequest) -> str:
        edge_id = check_name(first.edge_id, what="edge_id")
        if first.protocol_version != PROTOCOL_VERSION:
            raise VersionError(
                f"edge {edge_id} speaks protocol version {first.protocol_version}, this server speaks version "
                f"{PROTOCOL_VERSION}: update the older of the two"
            )
        stream.caller.check_edge(edge_id, ())
        self.end(edge_id, StreamReplacedError(f"edge {edge_id} attends anew; run one agent per edge_id"))
        self._streams[edge_id] = stream
        logger.info("edge attends", edge_id=edge_id, release=first.release.space, backend=first.backend[:_LONGEST_TEXT])
        return edge_id

    def _close(self, stream: _Attendance, edge_id: str) -> None:
        if not stream.ended.done():
            stream.ended.cancel()
        if self._streams.get(edge_id) is stream:
            del self._streams[edge_id]
            logger.info("edge attends no more", edge_id=edge_id)

    async def _to_response(self, directive: Directive) -> fleet_pb2.AttendResponse:
        release = release_to_proto(await asyncio.to_thread(self._ref_of, directive.space))
        if directive.action == "install":
            return fleet_pb2.AttendResponse(
                directive_id=directive.directive_id, install_release=fleet_pb2.InstallRelease(release=release)
            )
        return fleet_pb2.AttendResponse(
            directive_id=directive.directive_id, roll_back=fleet_pb2.RollBack(release=release)
        )


def _read(request: fleet_pb2.AttendRequest, edge_id: str) -> EdgeReport:
    if request.edge_id != edge_id:
        raise ProtocolError(f"edge {edge_id} speaks for {request.edge_id[:64]!r} in the same stream")
    return EdgeReport(
        edge_id=edge_id,
        release=release_from_proto(request.release),
        backend=request.backend[:_LONGEST_TEXT],
        frames=request.frames,
        frames_dropped=request.frames_dropped,
        spool_depth=request.spool_depth,
        spool_dropped=request.spool_dropped,
        embeddings=request.embeddings,
        faults=request.faults,
        embed_ms=request.embed_ms,
        coherence=request.coherence,
        swap_gap_ms=request.swap_gap_ms,
        directive_id=request.directive_id,
        answer=_ANSWERS.get(request.directive_state, ""),
        message=request.message[:_LONGEST_TEXT],
    )
