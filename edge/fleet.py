"""Attends the server's fleet: says how this edge is, and takes what it is directed to do.

States and moves:
    waiting -> attending     the wait before an attempt is over: a stream opens, the first status is sent
    attending -> waiting     the line or the server broke: again after a back-off
    attending -> refused     the server refused this edge, or knows no fleet; again after `refused_retry_s`
    refused -> attending     that wait is over
    any -> closed            the agent stops

A status goes up every few seconds, and at once when a directive's answer changes. Nothing here touches a camera.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from pydantic import Field

from edge.attempts import Attempts
from edge.bundle import Bundle
from edge.health import EdgeHealth
from edge.heartbeat import Heartbeat
from edge.releases.directives import Answer, AnswerState, Directive, Directives
from edge.releases.fetcher import DownloadSettings
from edge.releases.state import Action
from edge.report import FleetReport
from edge.stream import ServerStream, StreamEnd
from protos import fleet_pb2, fleet_pb2_grpc
from reid.errors import CredentialsError
from reid.retry import Backoff
from reid.settings import Settings
from reid.types import PROTOCOL_VERSION
from reid.wire import release_from_proto, release_to_proto

_TURN_S = 0.2
_MAX_QUEUED = 2
"""Statuses that wait for a slow line; more would be old news."""
_MAX_NAME = 256
_MAX_MESSAGE = 1000

_STATES = {
    AnswerState.NONE: fleet_pb2.DIRECTIVE_STATE_UNSPECIFIED,
    AnswerState.ACCEPTED: fleet_pb2.DIRECTIVE_STATE_ACCEPTED,
    AnswerState.DONE: fleet_pb2.DIRECTIVE_STATE_DONE,
    AnswerState.REFUSED: fleet_pb2.DIRECTIVE_STATE_REFUSED,
}


class FleetSettings(Settings):
    """Updates by the server."""

    enabled: bool = True
    """Tell the server how this edge is, and take its directives."""
    root: Path | None = None
    """File with the first root of the site's signatures (root.json), where no bundle holds it."""
    status_s: float = Field(default=5.0, gt=0)
    """Between two statuses, seconds."""
    refused_retry_s: float = Field(default=60.0, gt=0)
    """Between attempts after the server has refused this edge, seconds."""
    backoff_first_s: float = Field(default=0.5, gt=0)
    """First wait after a break, seconds; it doubles with each failure."""
    backoff_most_s: float = Field(default=15.0, gt=0)
    """Longest wait after a break, seconds."""
    download: DownloadSettings = DownloadSettings()


class FleetState(str, Enum):
    """See the top of the file."""

    WAITING = "waiting"
    ATTENDING = "attending"
    REFUSED = "refused"
    CLOSED = "closed"


class FleetClient:
    """Keeps one stream to the fleet service. `step` and `run` belong to one thread, `status` to any.

    Args:
        server: `HOST:PORT`.
        edge_id: Of this edge.
        health: How it is; asked for each status.
        directives: Takes what comes.
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
        edge_id: str,
        health: Callable[[], EdgeHealth],
        directives: Directives,
        settings: FleetSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.heartbeat = Heartbeat()
        self._server = server
        self._edge_id = edge_id
        self._health = health
        self._directives = directives
        self._settings = settings or FleetSettings()
        self._clock = clock
        self._attempts = Attempts(
            "fleet",
            backoff or Backoff(first_s=self._settings.backoff_first_s, most_s=self._settings.backoff_most_s),
            refused_retry_s=self._settings.refused_retry_s,
            clock=clock,
        )
        self._bundle = bundle
        self._ends: queue.SimpleQueue[tuple[int, StreamEnd]] = queue.SimpleQueue()
        self._stream: ServerStream[fleet_pb2.AttendRequest, fleet_pb2.AttendResponse] | None = None
        self._num_streams = self._num_statuses = 0
        self._opened_s = self._next_status_s = clock()
        self._told = Answer()
        self._is_closed = False

    @property
    def status(self) -> FleetReport:
        """What it did so far; figures may be one turn apart."""
        answer = self._directives.answer
        return FleetReport(
            state=self._state().value,
            problem=self._attempts.problem,
            directive=answer.directive_id,
            directive_state=answer.state.value,
            directive_message=answer.message,
            statuses=self._num_statuses,
            bytes_downloaded=self._directives.num_bytes,
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then end the stream properly."""
        while not stop.is_set():
            self.heartbeat.beat()
            try:
                self.step(timeout_s=_TURN_S)
            except Exception as error:  # a fault of ours must not end the client: the next stream may do better
                self._end(StreamEnd(f"unexpected {type(error).__name__}: {error}", is_fatal=False))
        self.heartbeat.rest()
        self.close()

    def step(self, *, timeout_s: float) -> None:
        """One turn: open a stream if it is time, say how things are if it is time, wait for the stream's end."""
        try:
            if self._stream is None and not self._attempts.wait_s:
                self._open()
            self._say()
            number, end = self._ends.get(timeout=timeout_s)
            if number == self._num_streams and self._stream is not None:
                self._end(end)
        except queue.Empty:
            pass
        except CredentialsError as error:
            self._end(StreamEnd(str(error), is_fatal=True))

    def close(self) -> None:
        """End the stream; a later `step` opens another."""
        self._close(grace_s=1.0)
        self._is_closed = True

    def _state(self) -> FleetState:
        if self._stream is not None:
            return FleetState.ATTENDING
        if self._is_closed:
            return FleetState.CLOSED
        return FleetState.REFUSED if self._attempts.is_refused else FleetState.WAITING

    def _open(self) -> None:
        credentials = self._bundle.read() if self._bundle else None
        self._num_streams += 1
        number = self._num_streams
        self._opened_s = self._next_status_s = self._clock()
        self._is_closed = False
        self._stream = ServerStream(
            self._server,
            lambda channel: fleet_pb2_grpc.FleetServiceStub(channel).Attend,
            lambda event: self._deliver(number, event),
            credentials,
            name="fleet-reader",
            missing="that server knows no fleet of edges, and directs none",
        )

    def _deliver(self, number: int, event: fleet_pb2.AttendResponse | StreamEnd) -> None:
        """Called from the stream's thread."""
        if isinstance(event, StreamEnd):
            self._ends.put((number, event))
        else:
            take_directive(self._directives, event)

    def _say(self) -> None:
        """Send a status if it is time for one, unless the line is too slow for more."""
        answer, now_s = self._directives.answer, self._clock()
        if self._stream is None or (now_s < self._next_status_s and answer == self._told):
            return
        if self._stream.num_queued >= _MAX_QUEUED:
            return
        self._stream.send(attend_request(self._edge_id, self._health(), answer))
        self._told, self._next_status_s = answer, now_s + self._settings.status_s
        self._num_statuses += 1
        if self._attempts.is_stable(self._opened_s):
            self._attempts.progressed()
            self._attempts.settled()

    def _end(self, end: StreamEnd) -> None:
        self._close(grace_s=0.0)
        self._attempts.ended(end)

    def _close(self, *, grace_s: float) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(grace_s=grace_s)


def attend_request(edge_id: str, health: EdgeHealth, answer: Answer) -> fleet_pb2.AttendRequest:
    """A status as a message."""
    return fleet_pb2.AttendRequest(
        protocol_version=PROTOCOL_VERSION,
        edge_id=edge_id,
        release=release_to_proto(health.release),
        backend=health.backend,
        frames=health.frames,
        frames_dropped=health.frames_dropped,
        spool_depth=health.spool_depth,
        spool_dropped=health.spool_dropped,
        directive_id=answer.directive_id,
        directive_state=_STATES[answer.state],
        message=answer.message[:_MAX_MESSAGE],
        embeddings=health.embeddings,
        faults=health.faults,
        embed_ms=health.embed_ms,
        coherence=health.coherence,
        swap_gap_ms=health.swap_gap_ms,
    )


def take_directive(directives: Directives, message: fleet_pb2.AttendResponse) -> None:
    """Hand a message of the server on, if it is a directive; what cannot be one is ignored, or refused by its name."""
    directive_id = message.directive_id
    if not 0 < len(directive_id) <= _MAX_NAME:
        return
    kind = message.WhichOneof("directive")
    if kind is None:
        directives.refuse(directive_id, "this edge does not know that directive: update its software")
        return
    wanted = message.install_release if kind == "install_release" else message.roll_back
    release = release_from_proto(wanted.release)
    action: Action = "install" if kind == "install_release" else "rollback"
    is_too_long = max(map(len, (release.name, release.version, release.space))) > _MAX_NAME
    if is_too_long or (action == "install" and not release.space):
        directives.refuse(directive_id, "the directive names no release")
    else:
        directives.take(Directive(directive_id, action, release if release.space else None))
