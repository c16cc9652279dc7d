"""The crop service: one stream per edge, on which requests go down and answers come up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import structlog

from protos import crops_pb2, crops_pb2_grpc
from reid.errors import OspreyError
from reid.types import PROTOCOL_VERSION, check_name
from server.api.errors import answering
from server.crops.answers import CropAnswer, CropRequest, Status
from server.crops.exchange import CropExchange
from server.crops.line import EdgeLine
from server.errors import ProtocolError, StoppingError, VersionError
from server.security.callers import Caller, current_caller

logger = structlog.get_logger(__name__)

_Requests = AsyncIterator[crops_pb2.ExchangeCropsRequest]

_STATUSES: Mapping[int, Status] = {
    crops_pb2.CROP_STATUS_OK: "ok",
    crops_pb2.CROP_STATUS_EXPIRED: "expired",
    crops_pb2.CROP_STATUS_OVER_BUDGET: "over_budget",
    crops_pb2.CROP_STATUS_UNKNOWN: "unknown",
    crops_pb2.CROP_STATUS_FORGOTTEN: "forgotten",
}


class CropServicer(crops_pb2_grpc.CropServiceServicer):
    """Serves `osprey.v1.CropService`.

    Args:
        exchange: Asks the edges.
        hello_timeout_s: A stream that has not said hello by then is ended.
    """

    def __init__(self, exchange: CropExchange, *, hello_timeout_s: float) -> None:
        self._exchange = exchange
        self._hello_timeout_s = hello_timeout_s
        self._callers: dict[str, Caller] = {}

    def callers(self) -> dict[str, Caller]:
        """Who opened the streams, by edge_id."""
        return dict(self._callers)

    def end(self, edge_id: str, error: OspreyError) -> None:
        """End the stream of an edge."""
        self._exchange.end(edge_id, error)

    def stop(self) -> None:
        """End all streams and take no new ones."""
        self._exchange.stop()

    async def ExchangeCrops(  # noqa: N802 (the name in the proto)
        self, request_iterator: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[crops_pb2.ExchangeCropsResponse]:
        """See crops.proto."""
        async with answering(context):
            requests = aiter(request_iterator)
            hello = await self._read_hello(requests)
            caller = current_caller()
            caller.check_edge(hello.edge_id, ())
            line = await self._exchange.connect(hello.edge_id, hello.spool_id)
            self._callers[hello.edge_id] = caller
            reading = asyncio.create_task(_read(requests, line))
            logger.info("edge answers for crops", edge_id=line.edge_id)
            try:
                while True:
                    request = await line.next_request()
                    yield crops_pb2.ExchangeCropsResponse(request=request_to_proto(request))
            finally:
                reading.cancel()
                self._close(line)

    def _close(self, line: EdgeLine) -> None:
        self._exchange.disconnect(line)
        if line.edge_id not in self._exchange.connected_edges():
            self._callers.pop(line.edge_id, None)
        logger.info("edge answers no more for crops", edge_id=line.edge_id)

    async def _read_hello(self, requests: _Requests) -> crops_pb2.CropHello:
        """The first message, checked.

        Raises:
            ProtocolError: It is none, or another.
            VersionError: The edge speaks another version.
            ConfigError: A name is not fit.
        """
        try:
            request = await asyncio.wait_for(anext(requests, None), self._hello_timeout_s)
        except asyncio.TimeoutError:
            raise ProtocolError(
                f"a stream for crops must begin with a hello within {self._hello_timeout_s:g} s"
            ) from None
        if request is None or request.WhichOneof("payload") != "hello":
            raise ProtocolError("a stream for crops must begin with a hello")
        hello = request.hello
        if hello.protocol_version != PROTOCOL_VERSION:
            raise VersionError(
                f"edge {hello.edge_id!r} speaks protocol version {hello.protocol_version}, this server speaks version "
                f"{PROTOCOL_VERSION}: update the older of the two"
            )
        check_name(hello.edge_id, what="edge_id")
        check_name(hello.spool_id, what="spool_id of the edge")
        return hello


async def _read(requests: _Requests, line: EdgeLine) -> None:
    """Take what comes up until the edge hangs up or breaks the rules."""
    try:
        async for request in requests:
            if request.WhichOneof("payload") != "answer":
                line.end(ProtocolError(f"edge {line.edge_id} sent something else than an answer after its hello"))
                return
            line.take(answer_from_proto(request.answer))
    except Exception as error:  # the connection broke; gRPC ends the call itself
        logger.debug("a stream for crops broke", edge_id=line.edge_id, error=repr(error))
    line.end(StoppingError("the edge hung up"))


def request_to_proto(request: CropRequest) -> crops_pb2.CropRequest:
    """A request as it goes over the wire."""
    return crops_pb2.CropRequest(
        request_id=request.request_id,
        max_bytes=request.max_bytes,
        spool_id=request.spool_id,
        seqs=request.seqs,
        forget_seqs=request.forget_seqs,
    )


def answer_from_proto(message: crops_pb2.CropAnswer) -> CropAnswer:
    """An answer as it came, not yet judged."""
    return CropAnswer(
        request_id=message.request_id,
        seq=message.seq,
        status=_STATUSES.get(message.status, "unspecified"),
        jpeg=message.jpeg,
        num_bytes=message.ByteSize(),
    )
