"""The embedder of an agent, shared by all cameras: two slots, so that a release is changed between two batches.

One slot runs. The other keeps the release that ran before, until the new one is confirmed. While both are taken, a
batch on which the new one fails is embedded by the old one, which goes on from there: no batch is lost to a bad
release. A batch that both refuse is itself at fault, and changes nothing.

With memory for one only, the running one is taken out first (`vacate`), and batches wait for the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import structlog

from edge.backends.registry import DEFAULT
from edge.backends.selection import Selection, select_embedder
from edge.gaps import GapMeter
from reid.embedder import Embedder
from reid.errors import EmbeddingError
from reid.release import Precision, Release, load_release
from reid.types import FloatArray, ReleaseRef, UInt8Array

logger = structlog.get_logger(__name__)

_VACANT_S = 5.0
"""A batch waits this long for an embedder when there is none; less than any watchdog."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What became of a batch.

    Attributes:
        embeddings: float32 (N, D), unit norm.
        release: The release that made exactly these.
    """

    embeddings: FloatArray
    release: ReleaseRef


class CropEmbedder(Protocol):
    """All that a camera needs to know of the embedder."""

    def embed(self, crops: UInt8Array) -> Embedded:
        """Embed a batch, see `reid.embedder.Embedder.embed`.

        Raises:
            EmbeddingError: The batch cannot be embedded.
        """


@runtime_checkable
class Closable(Protocol):
    """An embedder that holds what must be given back, such as memory of a device."""

    def close(self) -> None:
        """Give it back; safe to call twice."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is to say of an embedder.

    Attributes:
        release: The release whose weights it runs.
        dim: Numbers in an embedding.
        backend: What runs it, one word.
        precision: Its arithmetic.
    """

    release: ReleaseRef
    dim: int
    backend: str
    precision: Precision


class Engine:
    """Lets several threads use one embedder in turn, and changes it between two of their batches.

    Args:
        embedder: Used by one thread at a time from here on.
        vacant_s: How long a batch waits while there is none.
        clock: Monotonic seconds.

    Attributes:
        gaps: For how long crops waited and no batch came out.
        num_swaps: Embedders put in the place of another, roll-backs included.
    """

    def __init__(
        self, embedder: Embedder, *, vacant_s: float = _VACANT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.gaps = GapMeter()
        self.num_swaps = 0
        self._clock = clock
        self._vacant_s = vacant_s
        self._changed = threading.Condition()  # around the slots
        self._running: Embedder | None = embedder
        self._next: Embedder | None = None
        self._kept: Embedder | None = None
        self._facts = _facts(embedder)
        self._num_proven = 0
        self._failure: Exception | None = None

    @property
    def facts(self) -> Facts:
        """Of the embedder that runs; while there is none, of the last one."""
        return self._facts

    @property
    def release(self) -> ReleaseRef:
        """The release that runs."""
        return self._facts.release

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return self._facts.dim

    @property
    def backend(self) -> str:
        """What runs it, one word."""
        return self._facts.backend

    @property
    def precision(self) -> str:
        """Its arithmetic."""
        return self._facts.precision

    @property
    def running(self) -> Embedder | None:
        """The embedder that runs, to make another one from; not to embed with."""
        return self._running

    @property
    def num_proven(self) -> int:
        """Batches without an error since the last swap."""
        return self._num_proven

    @property
    def failure(self) -> Exception | None:
        """On what the new embedder failed, if it did since the last swap."""
        return self._failure

    def embed(self, crops: UInt8Array) -> Embedded:
        """See `CropEmbedder.embed`."""
        asked_s = self._clock()
        with self._changed:
            self._advance()
            if not self._changed.wait_for(lambda: self._running is not None, self._vacant_s):
                raise EmbeddingError(f"no engine for {self._vacant_s:g} s: there is no memory to prepare one beside it")
            embedded = self._embed(crops)
            self._num_proven += 1
            self.gaps.note(asked_s=asked_s, now_s=self._clock())
            return embedded

    def swap(self, embedder: Embedder) -> None:
        """Run this one from the next batch on, and keep the one before."""
        self._next = embedder  # whoever embeds next puts it in: a busy lock is no reason to wait
        with self._changed:
            self._advance()
            self._changed.notify_all()

    def confirm(self) -> None:
        """Let the kept one go."""
        with self._changed:
            kept, self._kept = self._kept, None
        _close(kept)

    def roll_back(self) -> bool:
        """Run the kept one again; returns whether there was one."""
        with self._changed:
            dropped = self._put_back()
            was_kept = dropped is not None
        _close(dropped)
        return was_kept

    def vacate(self) -> None:
        """Take the embedder out and give back what it holds; batches wait for the next one."""
        with self._changed:
            former, self._running = self._running, None
        _close(former)

    def _embed(self, crops: UInt8Array) -> Embedded:
        running = self._running
        assert running is not None
        try:
            return Embedded(running.embed(crops), running.release)
        except Exception as error:
            if self._kept is None:
                self._failure = error
                raise
            embedded = Embedded(self._kept.embed(crops), self._kept.release)  # raises if the batch is to blame
            logger.error("new release failed on a batch, the old one takes over", reason=str(error))
            _close(self._put_back())
            self._failure = error
            return embedded

    def _advance(self) -> None:
        if self._next is None:
            return
        self._kept, self._running, self._next = self._running, self._next, None
        self._note_swap(self._running)

    def _put_back(self) -> Embedder | None:
        """Run the kept one; returns the one that ran."""
        if self._kept is None:
            return None
        dropped, self._running, self._kept = self._running, self._kept, None
        self._note_swap(self._running)
        return dropped

    def _note_swap(self, running: Embedder) -> None:
        self._facts = _facts(running)
        self.num_swaps += 1
        self._num_proven, self._failure = 0, None


def open_engine(folder: Path, *, num_threads: int, backend: str = DEFAULT) -> Engine:
    """Load a release, verify its files and run its golden crops.

    Args:
        folder: The release.
        num_threads: Threads of one call; 0 for one per core.
        backend: One of `edge.backends.registry.BACKENDS`, or `auto` for the fastest.

    Raises:
        BackendError: That back end is not installed or does not run on this machine.
        ReleaseError: The release is incomplete, altered, cannot be run, or computes something else than was released.
    """
    return open_release(load_release(folder), num_threads=num_threads, backend=backend)


def open_release(release: Release, *, num_threads: int, backend: str = DEFAULT) -> Engine:
    """As `open_engine`, of a release that is verified already."""
    chosen = select_embedder(release, asked=backend, num_threads=num_threads)
    log_selection("release loaded", chosen)
    return Engine(chosen.embedder)


def log_selection(event: str, chosen: Selection) -> None:
    """Say what runs a release, and why."""
    embedder = chosen.embedder
    logger.info(
        event,
        release=str(embedder.release),
        dim=embedder.dim,
        backend=embedder.backend,
        precision=embedder.precision,
        why=chosen.why,
        golden_cosine=round(chosen.golden_cosine, 5),
    )


def _facts(embedder: Embedder) -> Facts:
    return Facts(embedder.release, embedder.dim, embedder.backend, embedder.precision)


def _close(embedder: Embedder | None) -> None:
    if isinstance(embedder, Closable):
        embedder.close()
