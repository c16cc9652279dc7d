"""A server that reads every message, counts it and acknowledges it: what gRPC alone can carry.

    python -m benchmarks.instruments.acknowledging_server PORT_FILE

It takes any number of edges at a time, in one event loop, as the real server does; nothing is decoded but the message
itself, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from protos.ingest_pb2 import Acknowledgement, StreamObservationsRequest, StreamObservationsResponse, Welcome
from reid.files import write_atomic
from reid.types import PROTOCOL_VERSION


async def _stream(requests: AsyncIterator[StreamObservationsRequest], _: Any) -> AsyncIterator[Any]:
    async for request in requests:
        if request.HasField("hello"):
            welcome = Welcome(protocol_version=PROTOCOL_VERSION, window_batches=16, max_batch_observations=64)
            yield StreamObservationsResponse(welcome=welcome)
        else:
            last_seq = request.batch.observations[-1].seq
            yield StreamObservationsResponse(acknowledgement=Acknowledgement(acked_seq=last_seq))


async def _main(port_file: Path) -> None:
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        _stream, StreamObservationsRequest.FromString, StreamObservationsResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("osprey.v1.IngestService", {"StreamObservations": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    write_atomic(port_file, str(port).encode())
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
