"""Gets crops from the edges: asks those that are connected, waits for those that are not, until a deadline.

Each edge is asked for a few crops at a time, within its day's budget; when that is used up, it is asked again on the
next day. What is here is not asked for again, so that a collection goes on after a restart of the server or an edge. An
edge that does not answer, or answers with lies, is given up after some attempts; the others go on.

An edge has one request at a time, which keeps it within its budget whoever asks.

Beside this, every edge that is there is told which crops of erased persons it must delete (`forgetting.py`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol
from uuid import uuid4

import structlog

from reid.errors import OspreyError
from server.crops.answers import CropRequest, OpenRequest
from server.crops.budget import Allowance, EdgeTraffic, us_until_next_day, utc_day
from server.crops.forgetting import ErasureKeeper, Forgetting
from server.crops.line import EdgeLine, LieBook
from server.crops.selection import WantedCrop
from server.crops.settings import CropSettings
from server.crops.store import ArrivedCrop
from server.errors import StoppingError, StreamReplacedError
from server.types import CropName, Spool

logger = structlog.get_logger(__name__)

_MIB = 1 << 20
_MOST_ATTEMPTS = 3
"""Requests in a row that an edge may leave unanswered, or answer with lies alone."""

Reason = Literal["expired", "unknown", "over_budget", "refused", "unanswered", "offline", "erased"]
"""Why a crop did not come: the edge has it no more, never had it, may send no more today, sent something else, did not
answer, was not there; or its tracklet was deleted meanwhile."""


@dataclass(frozen=True, kw_only=True)
class CollectReport:
    """What a collection came to, or has come to so far.

    Attributes:
        num_wanted: All that were asked for.
        num_received: Here now, those that were here before included.
        num_expired: The edges had them no more, or never.
        num_refused: Came, and could not be used.
        num_bytes: Of all that came, refused ones included.
        missing: Not here, for whatever reason.
        reasons: How many are missing for which reason.
    """

    num_wanted: int
    num_received: int = 0
    num_expired: int = 0
    num_refused: int = 0
    num_bytes: int = 0
    missing: tuple[WantedCrop, ...] = ()
    reasons: Mapping[Reason, int] = field(default_factory=dict)


class CropKeeper(ErasureKeeper, Protocol):
    """Where crops go, as `CropStore` does it. `keep` runs in the writer's thread, all else in others."""

    def known(self, names: Sequence[CropName]) -> set[CropName]:
        """Those of the crops that are here."""

    def traffic(self, edge_id: str, *, day: int) -> EdgeTraffic:
        """What an edge sent."""

    def write_files(self, arrived: Iterable[ArrivedCrop]) -> None:
        """Write files."""

    def keep(self, edge_id: str, arrived: Sequence[ArrivedCrop], *, num_crops: int, num_bytes: int) -> list[CropName]:
        """Make them durable and charge the edge."""


class CropExchange:
    """Asks edges for crops.

    Args:
        store: Where they go.
        settings: How much at a time, and at all.
        spools: Names of spools by key.
        submit: Runs something in the writer's thread, as `Writer.submit_operation` does.
        clock_us: Microseconds since the Unix epoch.

    Attributes:
        lies: What edges sent that is wrong or unasked.
    """

    def __init__(
        self,
        store: CropKeeper,
        settings: CropSettings,
        *,
        spools: Callable[[], Mapping[int, Spool]],
        submit: Callable[[Callable[[], list[CropName]]], Awaitable[list[CropName]]],
        clock_us: Callable[[], int],
    ) -> None:
        self.lies = LieBook(clock_us)
        self._store = store
        self._settings = settings
        self._spools = spools
        self._submit = submit
        self._clock_us = clock_us
        self._forgetting = Forgetting(store, spools=spools, submit=submit)
        self._lines: dict[str, EdgeLine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Condition()
        self._collecting = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._is_stopping = False

    def connected_edges(self) -> list[str]:
        """The edges that can be asked now; from any thread."""
        return list(self._lines)

    async def connect(self, edge_id: str, spool_id: str) -> EdgeLine:
        """An edge is there; its older line, if it has one, ends.

        Raises:
            StoppingError: The server takes no more.
        """
        if self._is_stopping:
            raise StoppingError("the server is stopping: connect again later")
        if edge_id in self._lines:
            self._lines[edge_id].end(StreamReplacedError(f"edge {edge_id} opened a newer stream for crops"))
        line = EdgeLine(edge_id, spool_id, lies=self.lies, max_lies=self._settings.max_lies)
        self._lines[edge_id] = line
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._forgetting.serve(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        async with self._changed:
            self._changed.notify_all()
        return line

    def disconnect(self, line: EdgeLine) -> None:
        """An edge is gone."""
        line.end(StoppingError("the edge hung up"))
        if self._lines.get(line.edge_id) is line:
            del self._lines[line.edge_id]

    def end(self, edge_id: str, error: OspreyError) -> None:
        """End the line of an edge, if it has one."""
        if line := self._lines.get(edge_id):
            line.end(error)

    def forget_soon(self) -> None:
        """Somebody may have been erased: tell the edges that are there. From any thread; raises nothing."""
        for line in list(self._lines.values()):
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(line.stir)

    def stop(self) -> None:
        """End all lines and take no new ones."""
        self._is_stopping = True
        for line in self._lines.values():
            line.end(StoppingError("the server is stopping: connect again later"))

    async def collect(
        self,
        wanted: Sequence[WantedCrop],
        *,
        deadline_s: float,
        on_answer: Callable[[CollectReport], None] = lambda _: None,
    ) -> CollectReport:
        """Get crops. One collection runs at a time, another waits for it.

        Args:
            wanted: Which; those that are here are not asked for.
            deadline_s: How long to wait for edges that are not connected or may send no more today.
            on_answer: Told what has come so far, whenever something has.

        Raises:
            StorageError: What came cannot be kept.
        """
        async with self._collecting:
            return await self.fetch(wanted, deadline_s=deadline_s, on_answer=on_answer)

    async def fetch(
        self,
        wanted: Sequence[WantedCrop],
        *,
        deadline_s: float,
        on_answer: Callable[[CollectReport], None] = lambda _: None,
    ) -> CollectReport:
        """Get a few crops that somebody waits for: as `collect`, but beside a collection, between its requests.

        Raises:
            StorageError: What came cannot be kept.
        """
        known = await asyncio.to_thread(self._store.known, [crop.name for crop in wanted])
        tally = _Tally(wanted, known, on_answer)
        until_s = asyncio.get_running_loop().time() + deadline_s
        by_edge = self._by_edge(tally.left)
        tally.miss(by_edge.pop("", ()), "unknown")
        tasks = [
            asyncio.create_task(self._ask_edge(_Asking(edge_id, crops, until_s), tally))
            for edge_id, crops in by_edge.items()
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return tally.report()

    def _by_edge(self, wanted: Iterable[WantedCrop]) -> dict[str, deque[WantedCrop]]:
        """Crops by the edge that may have them; empty for those of spools that nobody knows."""
        spools = self._spools()
        found: defaultdict[str, deque[WantedCrop]] = defaultdict(deque)
        for crop in wanted:
            spool = spools.get(crop.spool_key)
            found[spool.edge_id if spool else ""].append(crop)
        return found

    async def _ask_edge(self, asking: _Asking, tally: _Tally) -> None:
        """Ask one edge until it has answered all, was given up, or the time is over."""
        while asking.crops:
            line = await self._line_of(asking)
            if line is None:
                tally.miss(asking.drain(), "offline")
                return
            self._leave_out_other_spools(asking, line, tally)
            if not asking.crops:
                return
            if not await self._take_turn(asking, line, tally) and not await self._next_day(asking):
                tally.miss(asking.drain(), "over_budget")
            if asking.num_failures >= _MOST_ATTEMPTS:
                tally.miss(asking.drain(), "unanswered")

    async def _take_turn(self, asking: _Asking, line: EdgeLine, tally: _Tally) -> bool:
        """Ask once, when nobody else asks this edge; False if it may send no more today."""
        async with self._turns[asking.edge_id]:
            if line.is_ended:
                return True
            allowance = await self._allowance(asking)
            if allowance.num_crops:
                await self._ask_once(asking, line, allowance, tally)
        return allowance.num_crops > 0

    async def _ask_once(self, asking: _Asking, line: EdgeLine, allowance: Allowance, tally: _Tally) -> None:
        crops = {crop.seq: crop for crop in asking.take(allowance.num_crops)}
        request = OpenRequest(
            CropRequest(
                request_id=uuid4().hex, spool_id=line.spool_id, seqs=tuple(crops), max_bytes=allowance.max_bytes
            )
        )
        try:
            await line.ask(request, timeout_s=self._settings.answer_timeout_s, until_s=asking.until_s)
        finally:  # what came is kept and charged, even if nobody waits for it any more
            kept = await asyncio.shield(asyncio.create_task(self._keep(line.edge_id, request, crops)))
        asking.crops.extendleft(crops[seq] for seq in sorted(request.unanswered, reverse=True))
        asking.num_failures = asking.num_failures + 1 if not request.jpegs and not request.without else 0
        if "over_budget" in request.without.values():
            asking.exhausted_day = utc_day(self._clock_us())
            asking.crops.extend(crops[seq] for seq, status in request.without.items() if status == "over_budget")
        tally.note(crops, request, kept)

    async def _keep(self, edge_id: str, request: OpenRequest, crops: Mapping[int, WantedCrop]) -> set[CropName]:
        arrived = [
            ArrivedCrop(crops[seq].name, crops[seq].tracklet, crops[seq].time_us, jpeg)
            for seq, jpeg in request.jpegs.items()
        ]
        if not request.num_bytes:
            return set()
        await asyncio.to_thread(self._store.write_files, arrived)
        keep = partial(
            self._store.keep,
            edge_id,
            arrived,
            num_crops=len(arrived) + len(request.refused),
            num_bytes=request.num_bytes,
        )
        return set(await self._submit(keep))

    async def _allowance(self, asking: _Asking) -> Allowance:
        day = utc_day(self._clock_us())
        if asking.exhausted_day == day:
            return Allowance(0, 0)
        traffic = await asyncio.to_thread(partial(self._store.traffic, asking.edge_id, day=day))
        return traffic.allowance(
            limit_bytes=int(self._settings.daily_limit_mib * _MIB), most_crops=self._settings.request_crops
        )

    async def _line_of(self, asking: _Asking) -> EdgeLine | None:
        """The open line of an edge, or None when the time is over."""

        def is_there() -> bool:
            line = self._lines.get(asking.edge_id)
            return line is not None and not line.is_ended

        if asking.left_s <= 0:
            return None
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(is_there), asking.left_s)
            except asyncio.TimeoutError:
                return None
            return self._lines[asking.edge_id]

    async def _next_day(self, asking: _Asking) -> bool:
        """Wait for the next day's budget; False if the time is over before."""
        wait_s = us_until_next_day(self._clock_us()) / 1e6
        await asyncio.sleep(max(0.0, min(wait_s, asking.left_s)))
        return asking.left_s > 0

    def _leave_out_other_spools(self, asking: _Asking, line: EdgeLine, tally: _Tally) -> None:
        """An edge has the crops of one spool only: those of one before are gone."""
        spools = self._spools()
        others = {crop for crop in asking.crops if spools[crop.spool_key].spool_id != line.spool_id}
        if others:
            asking.crops = deque(crop for crop in asking.crops if crop not in others)
            tally.miss(others, "unknown")


@dataclass
class _Asking:
    """What is still wanted of one edge, in order.

    Attributes:
        edge_id: Whose.
        crops: Not yet asked for, or not answered.
        until_s: Time of the running loop at which to give up.
        num_failures: Requests in a row that brought nothing.
        exhausted_day: The day on which the edge said that it sends no more.
    """

    edge_id: str
    crops: deque[WantedCrop]
    until_s: float
    num_failures: int = 0
    exhausted_day: int = -1

    @property
    def left_s(self) -> float:
        return self.until_s - asyncio.get_running_loop().time()

    def take(self, num_crops: int) -> list[WantedCrop]:
        return [self.crops.popleft() for _ in range(min(num_crops, len(self.crops)))]

    def drain(self) -> list[WantedCrop]:
        return self.take(len(self.crops))


class _Tally:
    """Counts what came of the wanted crops."""

    def __init__(
        self, wanted: Sequence[WantedCrop], known: set[CropName], on_answer: Callable[[CollectReport], None]
    ) -> None:
        unique = dict.fromkeys(wanted)
        self.left = [crop for crop in unique if crop.name not in known]
        self._num_wanted = len(unique)
        self._num_received = len(unique) - len(self.left)
        self._num_bytes = 0
        self._missing: dict[WantedCrop, Reason] = {}
        self._on_answer = on_answer

    def miss(self, crops: Iterable[WantedCrop], reason: Reason) -> None:
        """These do not come."""
        self._missing.update(dict.fromkeys(crops, reason))

    def note(self, crops: Mapping[int, WantedCrop], request: OpenRequest, kept: set[CropName]) -> None:
        """A request is over."""
        self._num_received += len(kept)
        self._num_bytes += request.num_bytes
        self.miss((crops[seq] for seq in request.jpegs if crops[seq].name not in kept), "erased")
        self.miss((crops[seq] for seq in request.refused), "refused")
        for seq, status in request.without.items():
            if status in ("expired", "unknown"):
                self._missing[crops[seq]] = status
        self._on_answer(self.report())

    def report(self) -> CollectReport:
        """What came so far."""
        reasons = Counter(self._missing.values())
        return CollectReport(
            num_wanted=self._num_wanted,
            num_received=self._num_received,
            num_expired=reasons["expired"] + reasons["unknown"],
            num_refused=reasons["refused"],
            num_bytes=self._num_bytes,
            missing=tuple(self._missing),
            reasons=dict(reasons),
        )
