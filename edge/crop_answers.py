"""Answers the server's requests for crops, from the ring, within two budgets: the request's and the day's own.

States and moves:
    waiting -> open      the wait before an attempt is over: a stream opens, hello is sent
    open -> waiting      the line or the server broke, or broke the rules: again after a back-off
    open -> refused      the server refused this edge, or asks for no crops; again after `refused_retry_s`
    refused -> open      that wait is over
    any -> closed        the agent stops

Nothing leaves unasked: every answer names a request, and each asked crop is answered once, in the order asked. Crops
that are to be forgotten are deleted first; where that fails the stream ends, and the server says so again. One
request is worked on at a time; a few more wait, the others stay on the line. A stream that breaks takes its requests
with it, and the server asks again. Between two answers there is a pause, so that no server can keep this machine busy.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import structlog

from edge.attempts import Attempts
from edge.bundle import Bundle
from edge.crop_budget import DailyBudget
from edge.errors import RingError
from edge.heartbeat import Heartbeat
from edge.ring import CropRing, Missing
from edge.stream import ServerStream, StreamEnd
from edge.uplink import UplinkSettings
from protos import crops_pb2, crops_pb2_grpc
from reid.errors import CredentialsError
from reid.retry import Backoff
from reid.types import PROTOCOL_VERSION
from reid.wire import box_to_proto

logger = structlog.get_logger(__name__)

_MAX_SEQS = 1024
_MAX_REQUEST_ID_LETTERS = 64
_MAX_REQUEST_BYTES = 64 << 10
_MAX_WAITING_REQUESTS = 4
_MAX_QUEUED_ANSWERS = 8
"""Answers that wait for the line, at most; bounds the memory of a stream."""
_PAUSE_S = 0.002
_CONGESTED_S = 0.02
_DAY_S = 86_400
_STATUS_OF = {
    Missing.EXPIRED: crops_pb2.CROP_STATUS_EXPIRED,
    Missing.UNKNOWN: crops_pb2.CROP_STATUS_UNKNOWN,
}
_WORDS = {
    crops_pb2.CROP_STATUS_OK: "sent",
    crops_pb2.CROP_STATUS_EXPIRED: "expired",
    crops_pb2.CROP_STATUS_UNKNOWN: "unknown",
    crops_pb2.CROP_STATUS_OVER_BUDGET: "over_budget",
    crops_pb2.CROP_STATUS_FORGOTTEN: "forgotten",
}

_CropStream = ServerStream[crops_pb2.ExchangeCropsRequest, crops_pb2.ExchangeCropsResponse]


class CropExchangeState(str, Enum):
    """See the top of the file."""

    WAITING = "waiting"
    OPEN = "open"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass(frozen=True)
class CropAnswersStatus:
    """What was asked for so far.

    Attributes:
        state: Where it stands.
        problem: Why the last stream ended; empty while one works.
        requests: Requests that were taken up.
        answers: Crops that were asked for, by what became of them: `sent`, `expired`, `unknown`, `over_budget`; and
            `forgotten` ones.
        bytes_sent: All messages, serialised, without gRPC's framing.
    """

    state: CropExchangeState = CropExchangeState.WAITING
    problem: str = ""
    requests: int = 0
    answers: Mapping[str, int] = field(default_factory=dict)
    bytes_sent: int = 0


@dataclass
class _Task:
    """A request that is being answered: what is left of it."""

    request: crops_pb2.CropRequest
    forget_seqs: Iterator[int]
    seqs: Iterator[int]
    left_bytes: int


class CropAnswers:
    """Keeps one stream to the server. `step` and `run` belong to one thread, `status` to any.

    Args:
        server: `HOST:PORT`.
        edge_id: Of this edge.
        spool_id: Of the spool that names the crops.
        ring: Where they are.
        daily_limit_bytes: Most that leaves within a day.
        patience: The back-off's waits.
        bundle: Certificates, read again for each stream; None for plain text within this machine.
        clock: Monotonic seconds.
        today: Days since the Unix epoch.

    Attributes:
        heartbeat: Of its loop.
    """

    def __init__(
        self,
        server: str,
        edge_id: str,
        spool_id: str,
        ring: CropRing,
        *,
        daily_limit_bytes: int,
        patience: UplinkSettings | None = None,
        bundle: Bundle | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], int] = lambda: int(time.time() // _DAY_S),
    ) -> None:
        self.heartbeat = Heartbeat()
        self._server = server
        self._hello = crops_pb2.CropHello(protocol_version=PROTOCOL_VERSION, edge_id=edge_id, spool_id=spool_id)
        self._ring = ring
        self._patience = patience or UplinkSettings()
        self._bundle = bundle
        self._clock = clock
        self._today = today
        self._attempts = Attempts(
            "crop exchange",
            Backoff(first_s=self._patience.backoff_first_s, most_s=self._patience.backoff_most_s),
            refused_retry_s=self._patience.refused_retry_s,
            clock=clock,
        )
        self._daily_limit_bytes = daily_limit_bytes
        self._budget: DailyBudget | None = None  # known once the ring was asked
        self._inbox: queue.Queue[tuple[int, crops_pb2.CropRequest]] = queue.Queue(_MAX_WAITING_REQUESTS)
        self._end: tuple[int, StreamEnd] | None = None
        self._stream: _CropStream | None = None
        self._stream_number = 0
        self._opened_s = clock()
        self._task: _Task | None = None
        self._is_closed = False
        self._num_requests = self._bytes_closed = 0
        self._answers: Counter[str] = Counter()

    @property
    def status(self) -> CropAnswersStatus:
        """What was asked for so far; figures may be one turn apart."""
        stream = self._stream
        bytes_sent = self._bytes_closed + (stream.bytes_sent if stream else 0)
        problem = "" if stream and self._attempts.is_stable(self._opened_s) else self._attempts.problem
        return CropAnswersStatus(self._state(), problem, self._num_requests, dict(self._answers), bytes_sent)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what is not answered by then is dropped."""
        while not stop.is_set():
            self.heartbeat.beat()
            try:
                has_worked = self.step(timeout_s=0.2)
            except Exception as error:  # a fault of ours must not end the answering: the next stream may do better
                self._end_stream(StreamEnd(f"unexpected {type(error).__name__}: {error}", is_fatal=False))
                continue
            if has_worked:
                stop.wait(_PAUSE_S)
        self.heartbeat.rest()
        self.close()

    def step(self, *, timeout_s: float) -> bool:
        """One turn: give one answer, or wait for a request for at most `timeout_s`; returns whether it did any."""
        try:
            if self._stream is None:
                self._open_stream(timeout_s)
            elif self._end is not None and self._end[0] == self._stream_number:
                self._end_stream(self._end[1])
            elif self._stream.is_broken or self._task is None:
                return self._take_request(self._stream, timeout_s)
            else:
                return self._go_on(self._task, self._stream, timeout_s)
        except CredentialsError as error:
            self._end_stream(StreamEnd(str(error), is_fatal=True))
        except (RingError, ValueError) as error:  # crops are not forgotten; the server broke the rules of the stream
            self._end_stream(StreamEnd(str(error), is_fatal=False))
        return False

    def close(self) -> None:
        """End the stream; a later `step` opens another."""
        self._close_stream()
        self._is_closed = True

    def _state(self) -> CropExchangeState:
        if self._stream is not None:
            return CropExchangeState.OPEN
        if self._is_closed:
            return CropExchangeState.CLOSED
        return CropExchangeState.REFUSED if self._attempts.is_refused else CropExchangeState.WAITING

    def _open_stream(self, timeout_s: float) -> None:
        wait_s = self._attempts.wait_s
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return
        self._stream_number += 1
        number = self._stream_number
        self._opened_s = self._clock()
        self._is_closed = False
        self._stream = ServerStream(
            self._server,
            lambda channel: crops_pb2_grpc.CropServiceStub(channel).ExchangeCrops,
            lambda event: self._deliver(number, event),
            self._bundle.read() if self._bundle else None,
            name="crops-reader",
            missing="this server asks for no crops",
            max_response_bytes=_MAX_REQUEST_BYTES,
        )
        self._stream.send(crops_pb2.ExchangeCropsRequest(hello=self._hello))

    def _deliver(self, number: int, event: crops_pb2.ExchangeCropsResponse | StreamEnd) -> None:
        """Called by the stream's thread, which waits here while enough requests wait."""
        if isinstance(event, StreamEnd):
            self._end = (number, event)
            return
        while number == self._stream_number:
            try:
                self._inbox.put((number, event.request), timeout=0.1)
                return
            except queue.Full:
                continue

    def _take_request(self, stream: _CropStream, timeout_s: float) -> bool:
        try:
            number, request = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return False
        if number != self._stream_number or stream.is_broken:
            return True  # nobody waits for the answers any more
        check_request(request, server=self._server)
        self._num_requests += 1
        if request.spool_id == self._hello.spool_id and request.forget_seqs:
            self._ring.forget(request.forget_seqs)
            logger.info("crops forgotten", request=request.request_id, number=len(request.forget_seqs))
        self._task = _Task(request, iter(request.forget_seqs), iter(request.seqs), request.max_bytes)
        logger.debug("crops asked for", request=request.request_id, number=len(request.seqs))
        return True

    def _go_on(self, task: _Task, stream: _CropStream, timeout_s: float) -> bool:
        if stream.num_queued >= _MAX_QUEUED_ANSWERS:
            time.sleep(min(timeout_s, _CONGESTED_S))
            return False
        answer = self._next_answer(task)
        if answer is None:
            self._task = None
            self._remember_traffic()
            return False
        stream.send(crops_pb2.ExchangeCropsRequest(answer=answer))
        self._answers[_WORDS[answer.status]] += 1
        return True

    def _next_answer(self, task: _Task) -> crops_pb2.CropAnswer | None:
        """The next answer to a request; None when all are given."""
        seq = next(task.forget_seqs, None)
        if seq is not None:
            is_ours = task.request.spool_id == self._hello.spool_id
            status = crops_pb2.CROP_STATUS_FORGOTTEN if is_ours else crops_pb2.CROP_STATUS_UNKNOWN
            return crops_pb2.CropAnswer(request_id=task.request.request_id, seq=seq, status=status)
        seq = next(task.seqs, None)
        return None if seq is None else self._answer(task, seq)

    def _answer(self, task: _Task, seq: int) -> crops_pb2.CropAnswer:
        """The answer for one crop; every byte of it counts, also of one without a crop."""
        budget, day = self._known_budget(), self._today()
        answer = crops_pb2.CropAnswer(request_id=task.request.request_id, seq=seq)
        self._fill(answer, task, left_bytes=min(task.left_bytes, budget.left_bytes(day)))
        num_bytes = answer.ByteSize()
        task.left_bytes -= num_bytes
        self._budget = budget.charge(day, num_bytes)
        return answer

    def _fill(self, answer: crops_pb2.CropAnswer, task: _Task, *, left_bytes: int) -> None:
        if task.request.spool_id != self._hello.spool_id:
            answer.status = crops_pb2.CROP_STATUS_UNKNOWN
            return
        if left_bytes <= 0:
            answer.status = crops_pb2.CROP_STATUS_OVER_BUDGET
            return
        found = self._ring.find(answer.seq)
        if isinstance(found, Missing):
            answer.status = _STATUS_OF[found]
            return
        whole = crops_pb2.CropAnswer(
            status=crops_pb2.CROP_STATUS_OK, jpeg=found.jpeg, time_us=found.time_us, box=box_to_proto(found.box)
        )
        if answer.ByteSize() + whole.ByteSize() > left_bytes:
            answer.status = crops_pb2.CROP_STATUS_OVER_BUDGET
        else:
            answer.MergeFrom(whole)

    def _known_budget(self) -> DailyBudget:
        if self._budget is None:
            self._budget = DailyBudget(self._daily_limit_bytes, *self._ring.read_traffic())
        return self._budget

    def _remember_traffic(self) -> None:
        """So that a start does not begin a new budget."""
        budget = self._known_budget()
        self._ring.write_traffic(budget.day, budget.spent_bytes)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._stream_number += 1  # what it still has to say is of no interest
        if stream is not None:
            stream.close()
            self._bytes_closed += stream.bytes_sent
        if self._task is not None:
            self._task = None
            self._remember_traffic()

    def _end_stream(self, end: StreamEnd) -> None:
        if self._attempts.is_stable(self._opened_s):
            self._attempts.progressed()
            self._attempts.settled()
        self._close_stream()
        self._attempts.ended(end)


def check_request(request: crops_pb2.CropRequest, *, server: str) -> None:
    """Complain about a request that no server of ours makes.

    Raises:
        ValueError: It asks for too much at once.
    """
    number = len(request.seqs) + len(request.forget_seqs)
    if number > _MAX_SEQS:
        raise ValueError(f"{server} asked for {number} crops at once, at most {_MAX_SEQS} are answered")
    if len(request.request_id) > _MAX_REQUEST_ID_LETTERS:
        raise ValueError(f"{server} sent a request_id of {len(request.request_id)} letters")
