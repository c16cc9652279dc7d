"""A real server in a thread, and an edge that says what a test tells it to."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from fakes_stream import hello

from protos import ingest_pb2, ingest_pb2_grpc
from reid.channel import open_channel
from reid.credentials import Credentials
from reid.release import Release
from server.api.serve import serve
from server.metrics import MetricsSettings
from server.releases.rollout import RolloutSettings
from server.settings import ServerSettings, StreamSettings
from server.storage.database import StorageSettings
from server.web.settings import WebSettings


@contextmanager
def running_server(
    data: Path,
    release: Release,
    *,
    streams: StreamSettings | None = None,
    max_calls: int = 100,
    metrics: MetricsSettings | None = None,
    insecure: bool = True,
    storage: StorageSettings | None = None,
    max_calls_per_caller: int = 32,
    rollout: RolloutSettings | None = None,
    web: WebSettings | None = None,
    on_console: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """Serve on a free port of loopback; gives the address. Leaving stops the server gracefully."""
    settings = ServerSettings(
        data=data,
        listen="127.0.0.1:0",
        insecure=insecure,
        revocation_check_s=0.1,
        max_calls_per_caller=max_calls_per_caller,
        release=release.folder,
        stop_grace_s=1,
        streams=streams or StreamSettings(),
        max_calls=max_calls,
        storage=storage or StorageSettings(),
        metrics=metrics or MetricsSettings(listen=""),
        rollout=rollout or RolloutSettings(),
        web=web or WebSettings(),
    )
    address: queue.Queue[str] = queue.Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    failures: list[BaseException] = []

    def main() -> None:
        try:
            loop.run_until_complete(
                serve(settings, release, stop=stop, on_listening=address.put, on_console=on_console)
            )
        except BaseException as error:
            failures.append(error)
            address.put("")

    thread = threading.Thread(target=main)
    thread.start()
    listening = address.get(timeout=20)
    try:
        if failures:
            raise failures[0]
        yield listening
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
    if failures:
        raise failures[0]


class TalkingEdge:
    """One stream to a server; says hello when made unless told not to."""

    def __init__(
        self,
        address: str,
        first: ingest_pb2.Hello | None = None,
        *,
        greet: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        self._channel = open_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        self._outbox: queue.Queue[ingest_pb2.StreamObservationsRequest | None] = queue.Queue()
        stub = ingest_pb2_grpc.IngestServiceStub(self._channel)
        self._call = stub.StreamObservations(iter(self._outbox.get, None), timeout=20)
        if greet:
            self.say(ingest_pb2.StreamObservationsRequest(hello=first or hello()))

    def __enter__(self) -> TalkingEdge:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._call.cancel()
        self._channel.close()

    def say(self, request: ingest_pb2.StreamObservationsRequest) -> None:
        self._outbox.put(request)

    def send(self, batch: ingest_pb2.ObservationBatch) -> None:
        self.say(ingest_pb2.StreamObservationsRequest(batch=batch))

    def finish(self) -> None:
        self._outbox.put(None)

    def welcome(self) -> ingest_pb2.Welcome:
        return next(self._call).welcome

    def acknowledgement(self) -> ingest_pb2.Acknowledgement:
        return next(self._call).acknowledgement

    def ending(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end, and tell how the server ended the stream."""
        try:
            for _ in self._call:
                pass
        except grpc.RpcError:
            pass
        return self._call.code(), self._call.details()
