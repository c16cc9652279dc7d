"""The open stream of one edge, as the exchange uses it: requests go down, answers come up, lies are counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from reid.errors import OspreyError
from server.crops.answers import CropAnswer, CropRequest, OpenForgetting, OpenRequest
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
        self._forgetting: OpenForgetting | None = None
        self._news = asyncio.Event()
        self._forgotten = asyncio.Event()
        self._stir = asyncio.Event()
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
        if self._forgetting is not None and answer.request_id == self._forgetting.request.request_id:
            lie = self._forgetting.take(answer)
            if self._forgetting.is_answered:
                self._forgotten.set()
        elif self._open is None:
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
            self._forgotten.set()
            self._stir.set()

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

    async def forget(self, request: OpenForgetting) -> None:
        """Send a request to forget crops and wait until all of it is answered, or the line ended; one at a time.

        Args:
            request: Filled with the answers.
        """
        if self.is_ended:
            return
        self._forgetting = request
        self._forgotten.clear()
        self._outgoing.put_nowait(request.request)
        await self._forgotten.wait()
        self._forgetting = None

    def stir(self) -> None:
        """There may be more to forget."""
        self._stir.set()

    def settle(self) -> None:
        """What there is to forget is about to be looked for."""
        self._stir.clear()

    async def stirred(self, timeout_s: float) -> None:
        """Wait until the line was stirred since it settled, or ended, or for so long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stir.wait(), timeout_s)

    def _note_lie(self, reason: str) -> None:
        self._num_lies += 1
        self._lies.note(self.edge_id, reason)
        is_flooding = self._open is not None and self._open.is_overdrawn
        if self._num_lies > self._max_lies or is_flooding:
            self.end(ProtocolError(f"edge {self.edge_id} sent what was not asked of it: {reason}"))
