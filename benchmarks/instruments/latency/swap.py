"""The longest time between two embedded batches while a release is installed under load.

Two threads embed batches of four crops with short pauses, as two busy cameras would. Meanwhile releases are prepared
beside, by the same calls as in an agent, and swapped in. Before that the same load runs for a while with nothing
installed, which shows what the machine alone does. Every batch must come out, and of one of the two releases.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.backends.registry import BACKENDS, Refittable
from edge.backends.selection import Selection
from edge.engine import Engine
from edge.releases.preparation import open_beside
from edge.releases.priority import low_priority
from reid.embedder import Embedder, check_golden
from reid.release import Precision, Release
from reid.types import FloatArray, ReleaseRef, UInt8Array

_NUM_THREADS = 2
_BATCH = 4
_PAUSE_S = 0.01
"""Of each thread, between two batches: cameras that leave the processor nothing at all would drop frames."""
_PROBATION_S = 0.3
"""A release runs this long before the next one is prepared."""
_LEAST_COSINE = 0.99
"""To what the release's own embedder makes of the same crops."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that came out: when, monotonic seconds, and of which release; its first row."""

    time_s: float
    release: ReleaseRef
    row: FloatArray


@dataclass(frozen=True, slots=True)
class Install:
    """A release that was installed: the longest gap meanwhile, how long it took to prepare, a row as it must be."""

    gap_ms: float
    prepare_s: float
    row: FloatArray


Prepare = Callable[[Release, Engine], Selection]


def ways_to_prepare(embedder: Embedder, num_threads: int) -> dict[str, Prepare]:
    """How a release may be prepared beside this embedder: `refit` and `rebuild` where it can be refitted."""

    def rebuild(release: Release, engine: Engine) -> Selection:
        precision: Precision = engine.facts.precision
        with low_priority():
            built = BACKENDS[engine.backend].open(release, precision, num_threads)
            return Selection(built, check_golden(built, release), "rebuilt")

    def install(release: Release, engine: Engine) -> Selection:
        return open_beside(release, engine, num_threads=num_threads)

    return {"refit": install, "rebuild": rebuild} if isinstance(embedder, Refittable) else {"rebuild": install}


def measure_swaps(
    embedder: Embedder, releases: Sequence[Release], crops: UInt8Array, prepare: Prepare, *, calm_s: float
) -> dict[str, Any]:
    """Swap to each release in turn while batches run.

    Args:
        embedder: Runs first; used by this alone from here on.
        releases: To install, each once.
        crops: uint8 (N, 256, 128, 3), four or more.
        prepare: See `ways_to_prepare`.
        calm_s: How long the load runs before, with nothing installed.

    Raises:
        RuntimeError: A batch failed, or was not of the release that it names.
    """
    engine = Engine(embedder)
    first_rows = {embedder.release: embedder.embed(crops[:_BATCH])[0]}
    with _load(engine, crops[:_BATCH]) as batches:
        time.sleep(calm_s)
        calm = list(batches)
        installs = [_install(engine, release, crops[:_BATCH], prepare, batches) for release in releases]
    first_rows |= {release.ref: install.row for release, install in zip(releases, installs, strict=True)}
    wrong = [batch for batch in batches if not float(batch.row @ first_rows[batch.release]) >= _LEAST_COSINE]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(batches)} batches were not of the release that they name")
    gaps_ms = [install.gap_ms for install in installs]
    return {
        "gap_ms": max(gaps_ms),
        "gaps_ms": gaps_ms,
        "calm_gap_ms": longest_gap_ms([batch.time_s for batch in calm]),
        "prepare_s": [install.prepare_s for install in installs],
        "batches": len(batches),
        "failed_batches": 0,
        "releases": len({batch.release for batch in batches}),
    }


def longest_gap_ms(times_s: Sequence[float]) -> float:
    """The longest time between two moments that follow one another; 0 for less than two."""
    return round(float(np.diff(np.sort(times_s)).max(initial=0.0)) * 1e3, 3)


def _install(engine: Engine, release: Release, crops: UInt8Array, prepare: Prepare, batches: list[Batch]) -> Install:
    before, began_s = max(0, len(batches) - 1), time.monotonic()
    embedder = prepare(release, engine).embedder
    prepared_s = time.monotonic()
    row = embedder.embed(crops)[0]  # while it still belongs to nobody else
    engine.swap(embedder)
    time.sleep(_PROBATION_S)
    engine.confirm()
    gap_ms = longest_gap_ms([batch.time_s for batch in batches[before:]])
    return Install(gap_ms, round(prepared_s - began_s, 3), row)


@contextmanager
def _load(engine: Engine, crops: UInt8Array) -> Iterator[list[Batch]]:
    """Embed within the block.

    Raises:
        RuntimeError: A batch failed.
    """
    batches: list[Batch] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                embedded = engine.embed(crops)
                batches.append(Batch(time.monotonic(), embedded.release, embedded.embeddings[0]))
                time.sleep(_PAUSE_S)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name=f"load-{number}") for number in range(_NUM_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield batches
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise RuntimeError(f"a batch failed during a swap: {failures[0]}") from failures[0]
