"""Joins the crops of several cameras into one batch, for the embedder that all of them share.

The camera threads ask and wait for their answers; one thread embeds. What it takes in a turn is decided by `next_turn`:

1. The oldest requests go together, in the order in which they came, as far as they fit into `max_crops`. The crops of a
   frame are never split: a frame with more goes alone.
2. When all that wait fit, and another camera is at work on a frame and has not asked yet, they wait for it, until the
   oldest has waited for `budget_ms`. A single camera never waits, and with a budget of 0 nobody does: then only what
   has gathered during the last batch is joined.

A camera has at most one request here at a time, so the queue holds no more than there are cameras. Crops that no
embedder takes are refused before they are joined; whatever else fails, fails for all cameras of that batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pydantic import Field

from edge.engine import CropEmbedder, Embedded
from edge.heartbeat import Heartbeat
from edge.stage_times import StageTimes
from reid.embedder import check_crops
from reid.errors import EmbeddingError, OspreyError
from reid.settings import Settings
from reid.types import UInt8Array

_IDLE_S = 0.2
"""Longest time between two heartbeats of a thread that has nothing to do."""


class BatchingSettings(Settings):
    """How the crops of several cameras are joined."""

    max_crops: int = Field(default=8, ge=1, le=256)
    """Crops in a joined batch at most; 1 embeds every frame by itself."""
    budget_ms: float = Field(default=0.0, ge=0, le=1000)
    """How long the crops of a frame may wait for those of another camera. Pays where a batch costs hardly more than
    one crop, as on a GPU; a processor gains next to nothing."""


class Waiting(NamedTuple):
    """A request that waits: its crops, and for how long, seconds."""

    num_crops: int
    waited_s: float


class Turn(NamedTuple):
    """What to do now: embed the oldest `num_requests`; if that is 0, look again after `wait_s`."""

    num_requests: int
    wait_s: float = 0.0


@dataclass(frozen=True)
class BatchCounts:
    """What was joined so far.

    Attributes:
        batches: Calls of the embedder.
        joined: Of these, with crops of more than one camera.
        crops: In all batches.
    """

    batches: int = 0
    joined: int = 0
    crops: int = 0


@dataclass(frozen=True)
class _Request:
    crops: UInt8Array
    asked_s: float
    answer: Future[Embedded] = field(default_factory=Future)


def next_turn(waiting: Sequence[Waiting], *, num_expected: int, settings: BatchingSettings) -> Turn:
    """Decide what to embed.

    Args:
        waiting: Requests, oldest first.
        num_expected: Other cameras that are at work on a frame and may ask soon.
        settings: Bounds.
    """
    if not waiting:
        return Turn(0, _IDLE_S)
    num_fitting = _num_fitting(waiting, settings.max_crops)
    is_full = sum(request.num_crops for request in waiting) >= settings.max_crops
    left_s = settings.budget_ms / 1000 - waiting[0].waited_s
    if is_full or not num_expected or left_s <= 0:
        return Turn(num_fitting)
    return Turn(0, left_s)


def _num_fitting(waiting: Sequence[Waiting], max_crops: int) -> int:
    """How many of the oldest fit into one batch; one at least."""
    total = waiting[0].num_crops
    for number, request in enumerate(waiting[1:], start=1):
        total += request.num_crops
        if total > max_crops:
            return number
    return len(waiting)


class BatchingEmbedder:
    """The one place where crops are embedded. `run` belongs to one thread, all else to any.

    Args:
        inner: Embeds; used by the thread of `run` alone.
        settings: Bounds.
        clock: Monotonic seconds.

    Attributes:
        times: `embed_wait`, how long requests waited for their batch, and `embed_batch`, how long the batches took.
        heartbeat: Of its loop.
    """

    def __init__(
        self,
        inner: CropEmbedder,
        settings: BatchingSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.times = StageTimes()
        self.heartbeat = Heartbeat()
        self._inner = inner
        self._settings = settings or BatchingSettings()
        self._clock = clock
        self._changed = threading.Condition()  # around the queue and what is expected
        self._waiting: deque[_Request] = deque()
        self._num_expected = 0
        self._is_closed = False
        self._counts = BatchCounts()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def counts(self) -> BatchCounts:
        """What was joined so far."""
        return self._counts

    def port(self) -> CameraPort:
        """The way in of one more camera."""
        return CameraPort(self)

    def run(self, stop: threading.Event) -> None:
        """Embed until `stop` is set and nothing waits; after that, and after a fault of ours, requests fail at once."""
        try:
            while not stop.is_set() or self.depth:
                self.heartbeat.beat()
                self.step(timeout_s=_IDLE_S)
        finally:
            self.heartbeat.rest()
            self._close()

    def step(self, *, timeout_s: float) -> int:
        """Embed one batch, after waiting for one for at most `timeout_s`; returns how many requests it answered."""
        batch = self._take(timeout_s)
        if batch:
            self._answer(batch)
        return len(batch)

    def ask(self, crops: UInt8Array, *, was_expected: bool = False) -> Future[Embedded]:
        """Put the crops of one frame into the queue.

        Args:
            crops: uint8 (N, 256, 128, 3) BGR.
            was_expected: These are what a camera was expected to ask for.

        Raises:
            EmbeddingError: They are no crops, or nobody embeds any more.
        """
        check_crops(crops)
        request = _Request(crops, self._clock())
        with self._changed:
            if self._is_closed:
                raise EmbeddingError("nothing is embedded any more: the agent stops")
            self._waiting.append(request)
            self._num_expected -= was_expected
            self._changed.notify_all()
        return request.answer

    def expect(self, change: int) -> None:
        """One camera more (1) or less (-1) may ask soon."""
        with self._changed:
            self._num_expected += change
            self._changed.notify_all()

    def _take(self, timeout_s: float) -> list[_Request]:
        until_s = self._clock() + timeout_s
        with self._changed:
            while not (turn := self._next_turn()).num_requests:
                left_s = until_s - self._clock()
                if left_s <= 0:
                    return []
                self._changed.wait(min(turn.wait_s, left_s))
            return [self._waiting.popleft() for _ in range(turn.num_requests)]

    def _next_turn(self) -> Turn:
        now_s = self._clock()
        waiting = [Waiting(len(request.crops), now_s - request.asked_s) for request in self._waiting]
        return next_turn(waiting, num_expected=self._num_expected, settings=self._settings)

    def _answer(self, batch: list[_Request]) -> None:
        now_s = self._clock()
        for request in batch:
            self.times.add("embed_wait", now_s - request.asked_s)
        try:
            embedded = self._embed([request.crops for request in batch])
        except BaseException as error:
            for request in batch:
                request.answer.set_exception(_for_camera(error))
            if not isinstance(error, Exception):
                raise
            return
        first = 0
        for request in batch:
            # Copies: what a camera keeps must not keep the rows of the others alive.
            rows = embedded.embeddings[first : first + len(request.crops)].copy()
            request.answer.set_result(Embedded(rows, embedded.release))
            first += len(request.crops)

    def _embed(self, parts: list[UInt8Array]) -> Embedded:
        crops = parts[0] if len(parts) == 1 else np.concatenate(parts)
        with self.times.measure("embed_batch"):
            embedded = self._inner.embed(crops)
        counts = self._counts
        self._counts = BatchCounts(counts.batches + 1, counts.joined + (len(parts) > 1), counts.crops + len(crops))
        return embedded

    def _close(self) -> None:
        with self._changed:
            self._is_closed = True
            left, self._waiting = self._waiting, deque()
        for request in left:
            request.answer.set_exception(EmbeddingError("the embedder has stopped"))


class CameraPort:
    """The embedder as one camera sees it. One thread.

    Args:
        shared: What embeds for all.
    """

    def __init__(self, shared: BatchingEmbedder) -> None:
        self._shared = shared
        self._is_expected = False

    @contextmanager
    def frame(self) -> Iterator[None]:
        """The block works on a frame: until it asks, or ends, others within their budget wait for it."""
        self._expect(True)
        try:
            yield
        finally:
            self._expect(False)

    def embed(self, crops: UInt8Array) -> Embedded:
        """See `edge.engine.CropEmbedder`; waits for its turn.

        Raises:
            EmbeddingError: They are no crops, their batch failed, or nothing is embedded any more.
        """
        answer = self._shared.ask(crops, was_expected=self._is_expected)
        self._is_expected = False
        return answer.result()

    def _expect(self, is_expected: bool) -> None:
        if is_expected != self._is_expected:
            self._is_expected = is_expected
            self._shared.expect(1 if is_expected else -1)


def _for_camera(error: BaseException) -> EmbeddingError:
    """An error of its own for each camera: an exception that is raised in several threads mixes up their tracebacks."""
    reason = str(error) if isinstance(error, OspreyError) else f"{type(error).__name__}: {error}"
    return EmbeddingError(reason)
