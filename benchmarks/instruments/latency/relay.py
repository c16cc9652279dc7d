"""A line between edge and server that notes when each observation was acknowledged.

It hands every message on as it is, in both directions, and so sees the moment at which an acknowledgement reaches the
edge's machine without touching the edge. It adds a fraction of a millisecond each way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc

from protos.ingest_pb2 import StreamObservationsRequest, StreamObservationsResponse

_METHOD = "/osprey.v1.IngestService/StreamObservations"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An observation that the server has acknowledged.

    Attributes:
        camid: Its camera.
        tracklet_id: The edge's name for the person who was followed.
        time_us: When its frame was captured, as the edge says.
        acked_us: When the acknowledgement came; both microseconds since the Unix epoch.
    """

    camid: str
    tracklet_id: int
    time_us: int
    acked_us: int


class Relay:
    """Listens on a free local port until it is closed. A context manager.

    Args:
        server: `HOST:PORT` of the server.

    Attributes:
        address: `HOST:PORT` for the edge.
    """

    def __init__(self, server: str) -> None:
        self._channel = grpc.insecure_channel(server)
        self._acknowledged: list[Acknowledged] = []
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._stream)
        service = grpc.method_handlers_generic_handler("osprey.v1.IngestService", {"StreamObservations": handler})
        self._server.add_generic_rpc_handlers((service,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Relay:
        """Listen."""
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut the line."""
        self._server.stop(grace=0.5).wait()
        self._channel.close()

    @property
    def acknowledged(self) -> list[Acknowledged]:
        """All so far, in the order in which they were acknowledged."""
        with self._lock:
            return list(self._acknowledged)

    def _stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        ledger = _Ledger()
        method: Any = self._channel.stream_stream(_METHOD)
        call = method(ledger.noting(messages))
        context.add_callback(call.cancel)
        try:
            for answer in call:
                done = ledger.settled(answer)
                with self._lock:
                    self._acknowledged.extend(done)
                yield answer
        except grpc.RpcError:
            context.abort(call.code(), call.details() or "")


class _Ledger:
    """What is under way on one stream."""

    def __init__(self) -> None:
        self._camids: list[str] = []
        self._under_way: deque[tuple[int, str, int, int]] = deque()

    def noting(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        for content in messages:
            request = StreamObservationsRequest.FromString(content)
            if request.HasField("hello"):
                self._camids = list(request.hello.camids)
            self._under_way.extend(
                (one.seq, self._camids[one.camera_index], one.tracklet_id, one.time_us)
                for one in request.batch.observations
            )
            yield content

    def settled(self, answer: bytes) -> list[Acknowledged]:
        now_us = time.time_ns() // 1000
        acked_seq = StreamObservationsResponse.FromString(answer).acknowledgement.acked_seq
        done: list[Acknowledged] = []
        while self._under_way and self._under_way[0][0] <= acked_seq:
            _, camid, tracklet_id, time_us = self._under_way.popleft()
            done.append(Acknowledged(camid, tracklet_id, time_us, now_us))
        return done
