"""A server that acknowledges everything, stores nothing and counts the bytes of what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc

from protos.ingest_pb2 import Acknowledgement, StreamObservationsRequest, StreamObservationsResponse, Welcome
from reid.types import PROTOCOL_VERSION


class CountingServer:
    """Listens on a free local port until it is closed; made for one edge at a time.

    Attributes:
        address: `HOST:PORT`.
        num_bytes: Serialised messages received, hello included; gRPC's own framing is not counted.
        num_observations: Observations in them.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self.num_observations = 0
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        # No deserialiser: the handler sees the bytes of each message as they came.
        handler: grpc.RpcMethodHandler[bytes, StreamObservationsResponse] = grpc.stream_stream_rpc_method_handler(
            self._stream, response_serializer=StreamObservationsResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler("osprey.v1.IngestService", {"StreamObservations": handler})
        self._server.add_generic_rpc_handlers((service,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(grace=1.0).wait()

    def _stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[StreamObservationsResponse]:
        for content in messages:
            self.num_bytes += len(content)
            request = StreamObservationsRequest.FromString(content)
            if request.HasField("hello"):
                welcome = Welcome(protocol_version=PROTOCOL_VERSION, window_batches=8, max_batch_observations=32)
                yield StreamObservationsResponse(welcome=welcome)
                continue
            observations = request.batch.observations
            self.num_observations += len(observations)
            yield StreamObservationsResponse(acknowledgement=Acknowledgement(acked_seq=observations[-1].seq))
