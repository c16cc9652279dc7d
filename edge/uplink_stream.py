"""The stream of observations to the server, from its hello until it breaks or is closed; see `edge.stream`."""

from __future__ import annotations

from collections.abc import Callable

from edge.stream import ServerStream, StreamEnd
from protos import ingest_pb2, ingest_pb2_grpc
from reid.credentials import Credentials

StreamEvent = ingest_pb2.StreamObservationsResponse | StreamEnd


class UplinkStream(ServerStream[ingest_pb2.StreamObservationsRequest, ingest_pb2.StreamObservationsResponse]):
    """A stream that is being opened; its first message is a hello. The send window bounds how many messages wait.

    Args:
        server: `HOST:PORT`.
        deliver: Takes each response, and at last one `StreamEnd`; called from the stream's own thread.
        credentials: What the edge shows; None for plain text within this machine.

    Raises:
        CredentialsError: The certificate has ended.
    """

    def __init__(
        self, server: str, deliver: Callable[[StreamEvent], None], credentials: Credentials | None = None
    ) -> None:
        super().__init__(
            server,
            lambda channel: ingest_pb2_grpc.IngestServiceStub(channel).StreamObservations,
            deliver,
            credentials,
            name="uplink-reader",
        )
