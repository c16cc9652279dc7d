"""The uplink: takes observations from the spool to the server, and the server's acknowledgements to the spool.

States and moves:
    waiting -> greeting      the wait before an attempt is over: a stream opens, hello is sent
    greeting -> streaming    the server's welcome came; the spool drops what the server already has
    greeting, streaming -> waiting    the line or the server broke, or nothing came in time: again after a back-off
    greeting, streaming -> refused    the server refused this edge; again after `refused_retry_s`
    refused -> greeting      that wait is over
    any -> closed            the agent stops

After every new welcome everything un-acknowledged is sent again, in order; the server ignores repeats. Nothing here
touches a camera: while no server answers, the spool fills.

Order is kept across a change of release: what waits from the time of the older one goes first. A server that no longer
serves that space refuses the edge until somebody decides; the reason that is shown then names both ways out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from importlib import metadata

import structlog
from pydantic import Field

from edge.attempts import Attempts
from edge.bundle import Bundle
from edge.errors import SpoolError, UplinkError
from edge.heartbeat import Heartbeat
from edge.send_window import SendWindow
from edge.spool import Spool, SpoolBatch
from edge.stream import StreamEnd
from edge.uplink_stream import StreamEvent, UplinkStream
from protos import ingest_pb2
from reid.errors import CredentialsError
from reid.retry import Backoff
from reid.settings import Settings
from reid.types import PROTOCOL_VERSION, ReleaseRef
from reid.wire import observation_to_proto, release_to_proto

logger = structlog.get_logger(__name__)

_MAX_BATCH = 32
_MAX_WINDOW_BATCHES = 64
"""More than any server needs; bounds the memory of a stream."""


class UplinkSettings(Settings):
    """Patience of the uplink, seconds."""

    welcome_timeout_s: float = Field(default=10.0, gt=0)
    """From opening the stream to the server's welcome."""
    ack_timeout_s: float = Field(default=30.0, gt=0)
    """Without an acknowledgement while something is under way; then the stream is taken for dead."""
    refused_retry_s: float = Field(default=60.0, gt=0)
    """Between attempts after the server has refused this edge."""
    backoff_first_s: float = Field(default=0.2, gt=0)
    """First wait after a break; it doubles with each failure."""
    backoff_most_s: float = Field(default=5.0, gt=0)
    """Longest wait after a break."""


@dataclass(frozen=True)
class EdgeIdentity:
    """What an edge says of itself at hello.

    Attributes:
        edge_id: Its name at the site.
        camids: Its cameras.
        release: The release that it runs at this moment; each batch names the space of its own embeddings.
        dim: Numbers in that release's embeddings.
    """

    edge_id: str
    camids: Sequence[str]
    release: ReleaseRef
    dim: int


class UplinkState(str, Enum):
    """See the top of the file."""

    WAITING = "waiting"
    GREETING = "greeting"
    STREAMING = "streaming"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass(frozen=True)
class UplinkStatus:
    """What the uplink did so far.

    Attributes:
        state: Where it stands.
        problem: Why the last stream ended; empty while one works.
        sent: Observations sent, repeats included.
        acknowledged: Observations that the server has taken over: they are durable there. If it refused some for good
            and the line broke before it could say so, the next welcome covers them and they count here; the spool lets
            in nothing that a server refuses, so that takes a fault of ours.
        rejected: Observations that the server said it refused for good.
        bytes_sent: All messages, serialised, without gRPC's framing.
        streams: Streams that the server welcomed.
    """

    state: UplinkState = UplinkState.WAITING
    problem: str = ""
    sent: int = 0
    acknowledged: int = 0
    rejected: int = 0
    bytes_sent: int = 0
    streams: int = 0


class Uplink:
    """Keeps one stream to the server. `step` and `run` belong to one thread; `wake` and `status` to any.

    Args:
        server: `HOST:PORT`.
        identity: What to say at hello; asked for at each, since the release may change in between.
        spool: Where observations wait.
        settings: Patience.
        clock: Monotonic seconds.
        backoff: Waits between attempts; made from the settings unless given.
        bundle: Certificates, read again for each stream; None for plain text within this machine.

    Attributes:
        heartbeat: Of its loop.
    """

    def __init__(
        self,
        server: str,
        identity: Callable[[], EdgeIdentity],
        spool: Spool,
        settings: UplinkSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.heartbeat = Heartbeat()
        self._server = server
        self._bundle = bundle
        self._identity = identity
        self._spool = spool
        self._settings = settings or UplinkSettings()
        self._clock = clock
        self._attempts = Attempts(
            "uplink",
            backoff or Backoff(first_s=self._settings.backoff_first_s, most_s=self._settings.backoff_most_s),
            refused_retry_s=self._settings.refused_retry_s,
            clock=clock,
        )
        self._inbox: queue.SimpleQueue[tuple[int, StreamEvent | None]] = queue.SimpleQueue()
        self._stream: UplinkStream | None = None
        self._stream_number = 0
        self._is_closed = False
        self._window: SendWindow | None = None
        self._camids: list[str] = []
        self._greeted_space = ""
        self._max_batch = _MAX_BATCH
        self._changed_at_s = clock()  # when the stream was opened, then when it was welcomed
        self._num_sent = self._num_acked = self._num_rejected = self._bytes_closed = self._num_streams = 0
        self._rejected_on_stream = 0
        self._under_way = 0  # observations sent on this stream and not acknowledged

    @property
    def status(self) -> UplinkStatus:
        """What it did so far; figures may be one turn apart."""
        stream = self._stream
        return UplinkStatus(
            state=self._state(),
            problem=self._attempts.problem,
            sent=self._num_sent,
            acknowledged=self._num_acked,
            rejected=self._num_rejected,
            bytes_sent=self._bytes_closed + (stream.bytes_sent if stream else 0),
            streams=self._num_streams,
        )

    @property
    def refusal(self) -> UplinkError | None:
        """Why the server refuses this edge, while it does."""
        return UplinkError(f"server refused this edge: {self._attempts.problem}") if self._attempts.is_refused else None

    def wake(self) -> None:
        """Say that the spool has something new."""
        self._inbox.put((0, None))

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then end the stream properly."""
        while not stop.is_set():
            self.heartbeat.beat()
            try:
                self.step(timeout_s=0.2)
            except Exception as error:  # a fault of ours must not end the uplink: the next stream may do better
                self._end_stream(StreamEnd(f"unexpected {type(error).__name__}: {error}", is_fatal=False))
        self.heartbeat.rest()
        self.close()

    def step(self, *, timeout_s: float) -> None:
        """One turn: send what may be sent, wait for news for at most `timeout_s`, act on it."""
        try:
            if self._stream is None and not self._attempts.wait_s:
                self._open_stream()
            self._send_waiting()
            for number, event in self._news(timeout_s):
                if number == self._stream_number and event is not None:  # not a wake, not of a former stream
                    self._take(event)
            self._check_patience()
            if self._bundle is not None:
                self._bundle.warn_if_ending()
        except CredentialsError as error:
            self._end_stream(StreamEnd(str(error), is_fatal=True))
        except (SpoolError, ValueError) as error:  # ValueError: the server broke the rules of the stream
            self._end_stream(StreamEnd(str(error), is_fatal=False))

    def close(self) -> None:
        """End the stream; a later `step` opens another."""
        self._close_stream(grace_s=1.0)
        self._is_closed = True

    def _state(self) -> UplinkState:
        if self._window is not None:
            return UplinkState.STREAMING
        if self._attempts.is_refused:
            return UplinkState.REFUSED
        if self._is_closed:
            return UplinkState.CLOSED
        return UplinkState.GREETING if self._stream is not None else UplinkState.WAITING

    def _news(self, timeout_s: float) -> list[tuple[int, StreamEvent | None]]:
        if self._stream is None:
            timeout_s = min(timeout_s, self._attempts.wait_s)
        news = []
        try:
            news.append(self._inbox.get(timeout=timeout_s))
            while True:
                news.append(self._inbox.get_nowait())
        except queue.Empty:
            return news

    def _open_stream(self) -> None:
        # Observations of cameras that are no longer configured may still wait; they are announced as well.
        identity = self._identity()
        self._greeted_space = identity.release.space
        configured = list(identity.camids)
        self._camids = configured + [camid for camid in self._spool.camids() if camid not in configured]
        self._stream_number += 1
        number = self._stream_number
        self._changed_at_s = self._clock()
        self._rejected_on_stream = 0
        self._is_closed = False
        self._stream = UplinkStream(
            self._server,
            lambda event: self._inbox.put((number, event)),
            self._bundle.read() if self._bundle else None,
        )
        self._stream.send(ingest_pb2.StreamObservationsRequest(hello=self._hello(identity)))

    def _hello(self, identity: EdgeIdentity) -> ingest_pb2.Hello:
        return ingest_pb2.Hello(
            protocol_version=PROTOCOL_VERSION,
            edge_id=identity.edge_id,
            spool_id=self._spool.spool_id,
            camids=self._camids,
            release=release_to_proto(identity.release),
            dim=identity.dim,
            sent_at_us=time.time_ns() // 1000,
            software_version=metadata.version("osprey-reid"),
        )

    def _take(self, event: StreamEvent) -> None:
        if isinstance(event, StreamEnd):
            self._end_stream(event)
        elif event.HasField("welcome"):
            self._take_welcome(event.welcome)
        elif event.HasField("acknowledgement"):
            self._take_acknowledgement(event.acknowledgement)
        # Anything else is of a newer protocol, which only adds: ignored.

    def _take_welcome(self, welcome: ingest_pb2.Welcome) -> None:
        if welcome.protocol_version != PROTOCOL_VERSION:
            came, ours = welcome.protocol_version, PROTOCOL_VERSION
            self._end_stream(StreamEnd(f"server speaks protocol {came}, this edge {ours}: update one", is_fatal=True))
            return
        if welcome.acked_seq < self._spool.acked_seq:
            lost = self._spool.acked_seq - welcome.acked_seq
            logger.error("the server lost observations that it had acknowledged", sequence_numbers=lost)
        self._num_acked += self._spool.acknowledge(welcome.acked_seq)
        windows = min(_MAX_WINDOW_BATCHES, welcome.window_batches)
        self._window = SendWindow(acked_seq=welcome.acked_seq, window_batches=windows)
        self._max_batch = max(1, min(_MAX_BATCH, welcome.max_batch_observations))
        self._under_way = 0
        self._changed_at_s = self._clock()
        self._num_streams += 1
        self._attempts.settled()
        logger.info("uplink open", server=self._server, acked_seq=welcome.acked_seq, waiting=self._spool.depth)

    def _take_acknowledgement(self, message: ingest_pb2.Acknowledgement) -> None:
        if self._window is None:
            raise ValueError(f"{self._server} acknowledged before its welcome")
        if self._window.acknowledged(message.acked_seq, self._clock()):
            num_deleted = self._spool.acknowledge(message.acked_seq)
            self._num_acked += num_deleted
            # Some may have been dropped under way: when nothing is, the count starts afresh.
            self._under_way = self._under_way - num_deleted if self._window.num_batches else 0
            self._attempts.progressed()
        refused = message.rejected - self._rejected_on_stream
        if refused > 0:
            self._rejected_on_stream = message.rejected
            self._num_rejected += refused
            self._num_acked -= refused  # acknowledgements cover what was refused for good
            logger.warning("the server refused observations", number=refused, reason=message.rejected_reason)

    def _send_waiting(self) -> None:
        window, stream = self._window, self._stream
        while window is not None and stream is not None and window.has_room:
            batch = self._spool.read_batch(window.last_sent_seq, self._max_batch)
            if batch is None or not window.is_worth_sending(len(batch.observations)):
                return
            self._under_way += len(batch.observations)
            stream.send(ingest_pb2.StreamObservationsRequest(batch=self._message(batch)))
            window.sent(batch.observations[-1].seq, self._clock())
            self._num_sent += len(batch.observations)

    def _message(self, batch: SpoolBatch) -> ingest_pb2.ObservationBatch:
        observations = [observation_to_proto(spooled, camids=self._camids) for spooled in batch.observations]
        num_waiting = max(0, self._spool.depth - self._under_way)
        report = ingest_pb2.SpoolReport(depth=num_waiting, dropped=self._spool.dropped)
        return ingest_pb2.ObservationBatch(
            space=batch.space, dim=batch.dim, observations=observations, spool_report=report
        )

    def _check_patience(self) -> None:
        now_s = self._clock()
        if self._stream is None:
            return
        if self._window is None:
            waited_s, most_s, what = now_s - self._changed_at_s, self._settings.welcome_timeout_s, "welcome"
        else:
            waited_s, most_s, what = self._window.waited_s(now_s), self._settings.ack_timeout_s, "acknowledgement"
        if waited_s > most_s:
            self._end_stream(StreamEnd(f"{self._server}: no {what} for {waited_s:.0f} s", is_fatal=False))

    def _close_stream(self, *, grace_s: float) -> None:
        if self._stream is not None:
            self._stream.close(grace_s=grace_s)
            self._bytes_closed += self._stream.bytes_sent
        self._stream = self._window = None
        self._stream_number += 1  # what it still has to say is of no interest

    def _end_stream(self, end: StreamEnd) -> None:
        if self._window is not None and self._attempts.is_stable(self._changed_at_s):
            self._attempts.progressed()
        reason = self._reason(end)
        self._close_stream(grace_s=0.0)
        self._attempts.ended(replace(end, reason=reason), waiting=self._spool.depth)

    def _reason(self, end: StreamEnd) -> str:
        """The server's words; after a welcome, also whether what it refused waits from the time of another release."""
        was_welcomed = self._window is not None
        oldest = self._spool.read_batch(0, 1) if end.is_fatal and was_welcomed else None
        # What the server welcomed it does not refuse; what runs now is not of an older release.
        if oldest is None or oldest.space in (self._greeted_space, self._identity().release.space):
            return end.reason
        return (
            f"{end.reason}. Observations of the older space {oldest.space!r} are first in the spool and everything "
            "newer waits behind them: let the server serve that space until they are through, or give this edge "
            "another spool file (the old one keeps them)"
        )
