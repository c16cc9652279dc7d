"""The ingestion service: one stream per edge, read and acknowledged side by side.

The reading task decodes and submits; the call itself awaits what was submitted, in order, and acknowledges. A stream
ends after its last submitted batch was answered, whatever ended it: half-close, an error of the edge, a newer stream of
the same edge, or shutdown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc
import structlog

from protos import ingest_pb2, ingest_pb2_grpc
from reid.errors import OspreyError
from reid.types import PROTOCOL_VERSION
from server.api.errors import answering
from server.api.session import Session
from server.counts import StreamCounts
from server.errors import ProtocolError, StoppingError, StreamReplacedError, WindowError
from server.ingest import Ingest
from server.security.callers import Caller, current_caller
from server.security.rates import EdgeRates
from server.settings import StreamSettings
from server.spaces import Spaces
from server.writer import Feed, Writer

logger = structlog.get_logger(__name__)

_Requests = AsyncIterator[ingest_pb2.StreamObservationsRequest]
_End = Exception | None
"""How a stream ends: with an error, or well."""


class _Submitted(NamedTuple):
    """A batch on its way to the records.

    Attributes:
        durable: Becomes the acked_seq.
        num_observations: Refused ones included.
        num_rejected: Observations refused since the stream began.
        rejected_reason: Why the latest was.
        arrived_s: When it was read, `time.perf_counter`.
    """

    durable: asyncio.Future[int]
    num_observations: int
    num_rejected: int
    rejected_reason: str
    arrived_s: float


class EdgeStream:
    """One open stream.

    Args:
        session: Its rules.
        feed: Where its batches go.
        window_batches: How many may be un-acknowledged.
        counts: Of all streams.
        rates: How fast it may send.
        caller: Who opened it.
    """

    def __init__(
        self,
        session: Session,
        feed: Feed,
        *,
        window_batches: int,
        counts: StreamCounts,
        rates: EdgeRates,
        caller: Caller,
    ) -> None:
        self.session = session
        self.caller = caller
        self._rates = rates
        self._counts = counts
        self._feed = feed
        self._window_batches = window_batches
        self._num_open = 0
        self._pending: asyncio.Queue[_Submitted | _End] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None

    def start(self, requests: _Requests) -> None:
        """Begin to read."""
        self._reader = asyncio.create_task(self._read(requests))

    def end(self, error: OspreyError) -> None:
        """Read no further, answer what was submitted, then fail with this error."""
        self.stop()
        self._pending.put_nowait(error)

    def stop(self) -> None:
        """Read no further."""
        if self._reader is not None:
            self._reader.cancel()

    async def acknowledgements(self) -> AsyncIterator[ingest_pb2.Acknowledgement]:
        """Acknowledge batches as they become durable, those of one moment together.

        Raises:
            OspreyError: What ended the stream.
        """
        item = await self._pending.get()
        while item:
            if isinstance(item, Exception):
                raise item
            acked_seq = await item.durable
            self._answer(item)
            has_next = not self._pending.empty()
            following = self._pending.get_nowait() if has_next else None
            if not _is_durable(following):  # otherwise one message answers both
                yield ingest_pb2.Acknowledgement(
                    acked_seq=acked_seq, rejected=item.num_rejected, rejected_reason=item.rejected_reason
                )
            item = following if has_next else await self._pending.get()

    def _answer(self, item: _Submitted) -> None:
        self._num_open -= 1
        self._counts.of(self.session.spool.edge_id).acknowledged += item.num_observations
        self._counts.acknowledgement.add(time.perf_counter() - item.arrived_s)

    async def _read(self, requests: _Requests) -> None:
        ended_by: _End = None
        try:
            async for request in requests:
                await self._take(request)
                await self._keep_to_rate(len(request.batch.observations))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            ended_by = error
        self._pending.put_nowait(ended_by)

    async def _take(self, request: ingest_pb2.StreamObservationsRequest) -> None:
        if request.WhichOneof("payload") != "batch":
            raise ProtocolError(f"edge {self.session.spool.edge_id} sent something else than a batch after its hello")
        if self._num_open >= self._window_batches:
            raise WindowError(
                f"edge {self.session.spool.edge_id} has {self._num_open} batches un-acknowledged and sent another: "
                f"the welcome allows {self._window_batches}"
            )
        arrived_s = time.perf_counter()
        batch = self.session.read(request.batch)
        self._count(request.batch)
        self._num_open += 1
        durable = await self._feed.submit(batch)
        num_observations, session = len(request.batch.observations), self.session
        self._pending.put_nowait(
            _Submitted(durable, num_observations, session.num_rejected, session.rejected_reason, arrived_s)
        )

    async def _keep_to_rate(self, num_observations: int) -> None:
        wait_s = self._rates.take(self.session.spool.edge_id, num_observations, time.monotonic())
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _count(self, message: ingest_pb2.ObservationBatch) -> None:
        counts = self._counts.of(self.session.spool.edge_id)
        counts.received += len(message.observations)
        if message.HasField("spool_report"):
            counts.spool_depth = message.spool_report.depth
            counts.spool_dropped = message.spool_report.dropped


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Serves `osprey.v1.IngestService`.

    Args:
        ingest: Asked only what is durable.
        writer: Stores batches.
        spaces: Gives what the server knows now.
        settings: Limits of one stream.

    Attributes:
        counts: What the streams brought.
    """

    def __init__(
        self, ingest: Ingest, writer: Writer, *, spaces: Callable[[], Spaces], settings: StreamSettings
    ) -> None:
        self.counts = StreamCounts()
        self._ingest = ingest
        self._writer = writer
        self._spaces = spaces
        self._settings = settings
        self._rates = EdgeRates(rate_hz=settings.max_observations_per_s, burst=settings.burst_observations)
        self._streams: dict[str, EdgeStream] = {}
        self._is_stopping = False

    def connected_edges(self) -> list[str]:
        """The edges with an open stream; from any thread."""
        return list(self._streams)

    def callers(self) -> dict[str, Caller]:
        """Who opened the streams, by edge_id."""
        return {edge_id: stream.caller for edge_id, stream in self._streams.items()}

    def end(self, edge_id: str, error: OspreyError) -> None:
        """End the stream of an edge, after its submitted batches are answered."""
        self._streams[edge_id].end(error)

    def connected_camids(self) -> dict[str, tuple[str, ...]]:
        """The edges with an open stream, and the cameras they announced; any thread may ask."""
        return {edge_id: stream.session.camids for edge_id, stream in list(self._streams.items())}

    def stop(self) -> None:
        """End all streams after their submitted batches are answered, and take no new ones."""
        self._is_stopping = True
        for stream in self._streams.values():
            stream.end(_stopping())

    async def StreamObservations(  # noqa: N802 (the name in the proto)
        self, request_iterator: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ingest_pb2.StreamObservationsResponse]:
        """See ingest.proto."""
        async with answering(context):
            requests = aiter(request_iterator)
            stream = self._open(await _read_hello(requests, timeout_s=self._settings.hello_timeout_s))
            edge_id = stream.session.spool.edge_id
            logger.info("edge connected", edge_id=edge_id, camids=",".join(stream.session.camids))
            self._note_clock(stream.session)
            try:
                yield ingest_pb2.StreamObservationsResponse(welcome=self._welcome(stream.session))
                stream.start(requests)
                async for acknowledgement in stream.acknowledgements():
                    yield ingest_pb2.StreamObservationsResponse(acknowledgement=acknowledgement)
            finally:
                self._close(stream)

    def _open(self, hello: ingest_pb2.Hello) -> EdgeStream:
        if self._is_stopping:
            raise _stopping()
        session = Session(
            hello,
            spaces=self._spaces,
            settings=self._settings,
            former_offset_us=self._former_offset_us,
        )
        caller = current_caller()
        caller.check_edge(session.spool.edge_id, session.camids)
        stream = EdgeStream(
            session,
            self._writer.open_feed(),
            window_batches=self._settings.window_batches,
            counts=self.counts,
            rates=self._rates,
            caller=caller,
        )
        edge_id = session.spool.edge_id
        if edge_id in self._streams:
            self._streams[edge_id].end(
                StreamReplacedError(f"edge {edge_id} opened a newer stream; run one agent per edge_id")
            )
        self._streams[edge_id] = stream
        return stream

    def _close(self, stream: EdgeStream) -> None:
        stream.stop()
        edge_id = stream.session.spool.edge_id
        if self._streams.get(edge_id) is stream:
            del self._streams[edge_id]
        logger.info("edge disconnected", edge_id=edge_id, rejected=stream.session.num_rejected)

    def _former_offset_us(self, edge_id: str) -> int:
        counts = self.counts.edges.get(edge_id)  # `of` would make some for any name, before the caller is checked
        return counts.clock_offset_us if counts else 0

    def _note_clock(self, session: Session) -> None:
        offset_us = session.clock.offset_us
        self.counts.of(session.spool.edge_id).clock_offset_us = offset_us
        if offset_us:
            logger.warning(
                "edge clock is off: its times are corrected", edge_id=session.spool.edge_id, offset_s=offset_us / 1e6
            )

    def _welcome(self, session: Session) -> ingest_pb2.Welcome:
        return ingest_pb2.Welcome(
            protocol_version=PROTOCOL_VERSION,
            acked_seq=self._ingest.acked_seq(session.spool),
            window_batches=self._settings.window_batches,
            max_batch_observations=self._settings.max_batch_observations,
            server_time_us=time.time_ns() // 1000,
        )


def _is_durable(item: _Submitted | _End) -> bool:
    return isinstance(item, _Submitted) and item.durable.done() and item.durable.exception() is None


async def _read_hello(requests: _Requests, *, timeout_s: float) -> ingest_pb2.Hello:
    try:
        request = await asyncio.wait_for(anext(requests, None), timeout_s)
    except asyncio.TimeoutError:
        raise ProtocolError(f"a stream must begin with a hello within {timeout_s:g} s") from None
    if request is None or request.WhichOneof("payload") != "hello":
        raise ProtocolError("a stream must begin with a hello")
    return request.hello


def _stopping() -> StoppingError:
    return StoppingError("the server is stopping: connect again later")
