"""A server in this process that speaks the real wire and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

from protos import ingest_pb2, ingest_pb2_grpc

Request = ingest_pb2.StreamObservationsRequest
Response = ingest_pb2.StreamObservationsResponse


class FakeServer(ingest_pb2_grpc.IngestServiceServicer):
    """Stores what comes, once per sequence number, and acknowledges it.

    Set before or during a test:
        refuse: (code, details) to answer every hello with, or None.
        protocol_version, window_batches, max_batch: What the welcome says.
        is_silent: Never welcomes.
        acknowledges: False to store without a word.
        break_before_ack: So many batches are stored, then the stream breaks instead of an acknowledgement.
        repeats_acks: Sends every acknowledgement twice.
        rejected_seqs: Refused for good.
        overacks: Acknowledges what was never sent.
        served_space: Refuses batches of any other; empty to take all.
    """

    def __init__(self) -> None:
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.protocol_version, self.window_batches, self.max_batch = 1, 4, 32
        self.is_silent = False
        self.acknowledges = True
        self.break_before_ack = 0
        self.repeats_acks = False
        self.rejected_seqs: set[int] = set()
        self.overacks = False
        self.served_space = ""
        self.hellos: list[ingest_pb2.Hello] = []
        self.batches: list[ingest_pb2.ObservationBatch] = []
        self.received: list[int] = []
        self.stored: dict[str, dict[int, ingest_pb2.Observation]] = {}
        self.acked: dict[str, int] = {}
        self._closing = threading.Event()
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def num_stored(self) -> int:
        return sum(len(rows) for rows in self.stored.values())

    def start(self) -> None:
        self._closing.clear()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.stop(grace=0).wait(5)

    def StreamObservations(self, request_iterator: Iterator[Request], context: Any) -> Iterator[Response]:  # noqa: N802
        hello = next(request_iterator).hello
        self.hellos.append(hello)
        if self.refuse is not None:
            context.abort(*self.refuse)
        while self.is_silent and context.is_active():
            self._closing.wait(0.01)
        yield self._welcome(hello)
        for number, request in enumerate(request_iterator, start=1):
            if self.served_space not in ("", request.batch.space):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"serves {self.served_space!r}")
            self._store(hello.spool_id, request.batch)
            if number == self.break_before_ack:
                self.break_before_ack = 0
                context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
            if self.acknowledges:
                yield from [self._acknowledge(hello.spool_id)] * (2 if self.repeats_acks else 1)

    def _welcome(self, hello: ingest_pb2.Hello) -> Response:
        return Response(
            welcome=ingest_pb2.Welcome(
                protocol_version=self.protocol_version,
                acked_seq=self.acked.get(hello.spool_id, 0),
                window_batches=self.window_batches,
                max_batch_observations=self.max_batch,
            )
        )

    def _store(self, spool_id: str, batch: ingest_pb2.ObservationBatch) -> None:
        self.batches.append(batch)
        rows = self.stored.setdefault(spool_id, {})
        for observation in batch.observations:
            self.received.append(observation.seq)
            self.acked[spool_id] = max(self.acked.get(spool_id, 0), observation.seq)
            if observation.seq not in self.rejected_seqs:
                rows.setdefault(observation.seq, observation)

    def _acknowledge(self, spool_id: str) -> Response:
        acked = self.acked[spool_id]
        rejected = len({seq for seq in self.rejected_seqs if seq <= acked})
        reason = "not finite" if rejected else ""
        acked += 1000 if self.overacks else 0
        return Response(
            acknowledgement=ingest_pb2.Acknowledgement(acked_seq=acked, rejected=rejected, rejected_reason=reason)
        )
