"""One gRPC stream to the server, as a pair of queues; what all streams of the edge have in common.

A stream lives from its first message until it breaks or is closed; it is never reused. What comes from the server, and
the end of the stream, is handed to the owner by a thread of the stream, so that the owner waits in one place only.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from reid.channel import open_channel
from reid.credentials import Credentials

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

_MAX_MESSAGE_BYTES = 4 << 20
"""Both ways; a batch of 32 embeddings of 4096 numbers is 0.3 MiB."""
_CHANNEL_OPTIONS = (
    # A dead line is noticed within 40 s even when nothing is sent; the server must allow pings this often.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # gRPC waits a minute without it, whatever the line above says
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),  # its pings count as ours, and a server ends streams with too many of them
    # Waiting between attempts is ours (`reid.retry`): a new channel must not inherit the back-off of the last one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
_FATAL_CODES = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""The server means it: the same again gets the same answer. All other codes are breaks of the line or of the server."""


@dataclass(frozen=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        reason: The server's message, or what broke.
        is_fatal: Trying again will not help.
    """

    reason: str
    is_fatal: bool


class ServerStream(Generic[RequestT, ResponseT]):
    """A stream that is being opened.

    Args:
        server: `HOST:PORT`.
        method: The method of the service's stub on a channel.
        deliver: Takes each response, and at last one `StreamEnd`; called from the stream's own thread. While it waits,
            nothing more is read from the line.
        credentials: What the edge shows; None for plain text within this machine.
        name: Of its thread.
        missing: What it means when the server has no such method.
        max_response_bytes: A larger message from the server ends the stream.

    Raises:
        CredentialsError: The certificate has ended.

    Attributes:
        bytes_sent: Of all messages handed to gRPC, serialised, without its framing.
    """

    def __init__(
        self,
        server: str,
        method: Callable[[grpc.Channel], Callable[[Iterator[RequestT]], Iterable[ResponseT]]],
        deliver: Callable[[ResponseT | StreamEnd], None],
        credentials: Credentials | None = None,
        *,
        name: str,
        missing: str = "no Osprey server answers there",
        max_response_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> None:
        self.bytes_sent = 0
        self._server = server
        self._deliver = deliver
        self._missing = missing
        self._outgoing: queue.SimpleQueue[RequestT | None] = queue.SimpleQueue()
        limits = (
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", max_response_bytes),
        )
        self._channel = open_channel(server, credentials, options=(*limits, *_CHANNEL_OPTIONS))
        self._call: Any = method(self._channel)(self._requests())
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    @property
    def num_queued(self) -> int:
        """Messages that gRPC has not taken yet."""
        return self._outgoing.qsize()

    @property
    def is_broken(self) -> bool:
        """Whether nothing that is sent reaches the server any more; its end is delivered after what came before."""
        return not self._call.is_active()

    def send(self, request: RequestT) -> None:
        """Queue a message; never blocks. The owner bounds how many wait here."""
        self.bytes_sent += request.ByteSize()
        self._outgoing.put(request)

    def close(self, *, grace_s: float = 0.0) -> None:
        """End the stream and wait for its thread; safe to call twice.

        Args:
            grace_s: How long the server may take to end it properly before it is cut.
        """
        self._outgoing.put(None)
        if grace_s > 0:
            self._reader.join(timeout=grace_s)
        self._call.cancel()
        self._channel.close()
        self._reader.join(timeout=5.0)

    def _requests(self) -> Iterator[RequestT]:
        while (request := self._outgoing.get()) is not None:
            yield request

    def _read(self) -> None:
        try:
            for response in self._call:
                self._deliver(response)
            end = StreamEnd(f"{self._server} closed the stream", is_fatal=False)
        except grpc.RpcError as error:
            end = self._end_of(error)
        except Exception as error:  # a surprise of gRPC must end this stream, not leave its owner waiting
            end = StreamEnd(f"{self._server}: unexpected {type(error).__name__}: {error}", is_fatal=False)
        self._outgoing.put(None)  # ends gRPC's own thread, which waits in `_requests`
        self._deliver(end)

    def _end_of(self, error: grpc.RpcError) -> StreamEnd:
        code, details = error.code(), error.details() or "no details"
        if code is grpc.StatusCode.UNIMPLEMENTED:
            details = f"{self._missing} ({details})"
        if "Socket closed" in details:  # all that gRPC says when the server refuses a certificate
            details += " (if a server runs there, it may want another bundle, or one of a renewed certificate)"
        return StreamEnd(f"{self._server}: {code.name}: {details}", is_fatal=code in _FATAL_CODES)
