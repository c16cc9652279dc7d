"""The open stream of one edge, as the exchange uses it: requests go down, answers come up, lies are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from reid.errors import OspreyError
from server.crops.answers import CropAnswer, CropRequest, OpenRequest
from server.errors import ProtocolError, StoppingError

logger = structlog.get_logger(__name__)

_QUIET_US = 3600 * 1_000_000
"""An edge's lies are news once in so long."""


class LieBook:
    """Counts what edges sent that is wrong or unasked, and tells of it now and then.

    Args:
        clock_us: Microseconds since the Unix epoch.

    Attributes:
        counts: By edge_id, since the server started.
    """

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self.counts: dict[str, int] = {}
        self._clock_us = clock_us
        self._told_us: dict[str, int] = {}

    def note(self, edge_id: str, reason: str) -> None:
        """Count a lie."""
        self.counts[edge_id] = self.counts.get(edge_id, 0) + 1
        now_us = self._clock_us()
        if edge_id not in self._told_us or now_us - self._told_us[edge_id] >= _QUIET_US:
            self._told_us[edge_id] = now_us
            logger.warning("an edge's crops are refused", edge_id=edge_id, reason=reason, refused=self.counts[edge_id])


class EdgeLine:
    """One edge while it is connected.

    Args:
        edge_id: Whose.
        spool_id: The spool whose crops it has.
        lies: Told of every lie.
        max_lies: More of them end the line.
    """

    def __init__(self, edge_id: str, spool_id: str, *, lies: LieBook, max_lies: int) -> None:
        self.edge_id = edge_id
        self.spool_id = spool_id
        self._lies = lies
        self._max_lies = max_lies
        self._num_lies = 0
        self._open: OpenRequest | None = None
        self._news = asyncio.Event()
        self._end: OspreyError | None = None
        self._outgoing: asyncio.Queue[CropRequest | None] = asyncio.Queue()

    @property
    def is_ended(self) -> bool:
        """Nothing goes over it any more."""
        return self._end is not None

    async def next_request(self) -> CropRequest:
        """The next request to send down.

        Raises:
            OspreyError: What ended the line.
        """
        request = await self._outgoing.get()
        if request is None:
            assert self._end is not None
            raise self._end
        return request

    def take(self, answer: CropAnswer) -> None:
        """Take what came up."""
        if self.is_ended:
            return
        if self._open is None:
            lie = f"an answer of {answer.num_bytes} bytes that nobody asked for"
        else:
            lie = self._open.take(answer)
        self._news.set()
        if lie:
            self._note_lie(lie)

    def end(self, error: OspreyError) -> None:
        """End the line: no request goes down any more, and whoever waits for answers is told."""
        if not self.is_ended:
            self._end = error
            self._outgoing.put_nowait(None)
            self._news.set()

    async def ask(self, request: OpenRequest, *, timeout_s: float, until_s: float) -> None:
        """Send a request and wait until it is answered, nothing came for so long, or the line ended.

        A line on which answers may still come is ended: they would be taken for lies.

        Args:
            request: Filled with the answers.
            timeout_s: Longest silence.
            until_s: Time of the running loop at which to give up.
        """
        loop = asyncio.get_running_loop()
        self._open = request
        self._outgoing.put_nowait(request.request)
        try:
            while not request.is_answered and not self.is_ended:
                self._news.clear()
                wait_s = min(timeout_s, until_s - loop.time())
                await asyncio.wait_for(self._news.wait(), max(wait_s, 0.0))
        except asyncio.TimeoutError:
            pass
        finally:
            self._open = None
            if not request.is_answered:
                self.end(StoppingError("a request for crops was given up: connect again"))

    def _note_lie(self, reason: str) -> None:
        self._num_lies += 1
        self._lies.note(self.edge_id, reason)
        is_flooding = self._open is not None and self._open.is_overdrawn
        if self._num_lies > self._max_lies or is_flooding:
            self.end(ProtocolError(f"edge {self.edge_id} sent what was not asked of it: {reason}"))
