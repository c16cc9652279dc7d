"""Opens a release with the back end that was asked for, or with the fastest that computes what was released.

Every embedder passes the release's golden check before it is handed out, a remembered one too. What does not pass, or
is not installed, is named with its reason. A running embedder is not touched: the next one may be opened beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import structlog

from edge.backends.choice import Choice, ChoiceKey, choice_key, recall, remember
from edge.backends.registry import AUTO, BACKENDS, Backend
from edge.backends.speed import measure_ms, ranking
from edge.errors import BackendError
from reid.embedder import SMALL_BATCHES, Embedder, check_golden
from reid.errors import OspreyError, ReleaseError
from reid.release import Precision, Release

logger = structlog.get_logger(__name__)

_BUDGET_S = 2.0


@dataclass(frozen=True)
class Selection:
    """An embedder that passed the golden check.

    Attributes:
        embedder: It.
        golden_cosine: The least cosine of the golden crops.
        why: Why this one, in words.
    """

    embedder: Embedder
    golden_cosine: float
    why: str


def select_embedder(
    release: Release,
    *,
    asked: str,
    num_threads: int,
    clock: Callable[[], float] = time.perf_counter,
    backends: Mapping[str, Backend] = BACKENDS,
) -> Selection:
    """Open a release.

    Args:
        release: A verified one.
        asked: A name in `backends`, or `auto`. With several precisions of one, the fastest is found.
        num_threads: Threads of one call; 0 for one per core.
        clock: Monotonic seconds.
        backends: To choose from, by name.

    Raises:
        BackendError: The one that was asked for is not installed or does not run here.
        ReleaseError: None of them runs the release, or what they compute is not what was released.
    """
    choosable = backends if asked == AUTO else {asked: backends[asked]}
    key = choice_key(release, asked=asked, num_threads=num_threads, backends=choosable)
    choice = recall(release, key)
    if choice is not None:
        try:
            return _open(release, choosable[choice.backend], choice.precision, num_threads, f"remembered: {choice.why}")
        except OspreyError as error:
            logger.warning("remembered back end failed, measuring again", problem=str(error))
    why = "the only one that can be used" if asked == AUTO else "as configured"
    opened = _open_all(release, choosable.values(), num_threads, why)
    return opened[0] if len(opened) == 1 else _fastest(release, opened, key, clock)


def _open(release: Release, backend: Backend, precision: Precision, num_threads: int, why: str) -> Selection:
    embedder = backend.open(release, precision, num_threads)
    return Selection(embedder, check_golden(embedder, release), why)


def _open_all(release: Release, backends: Iterable[Backend], num_threads: int, why: str) -> list[Selection]:
    """Open every precision of every back end, and name those that cannot be used.

    Raises:
        BackendError: There is but one, and it is not installed or does not run here.
        ReleaseError: None can be used.
    """
    opened: list[Selection] = []
    refused: dict[str, OspreyError] = {}
    for backend in backends:
        try:
            precisions = backend.precisions(release)
        except BackendError as error:
            refused[backend.name] = error
            continue
        for precision in precisions:
            try:
                opened.append(_open(release, backend, precision, num_threads, why))
            except OspreyError as error:
                refused[f"{backend.name} {precision}"] = error
    if not opened:
        raise _as_one(release, refused)
    for name, reason in refused.items():
        log = logger.info if isinstance(reason, BackendError) else logger.warning
        log("back end not used", backend=name, reason=str(reason))
    return opened


def _as_one(release: Release, refused: Mapping[str, OspreyError]) -> OspreyError:
    if len(refused) == 1:
        return next(iter(refused.values()))
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    return ReleaseError(f"release {release.ref}: no back end can run it: {reasons}")


def _fastest(release: Release, opened: list[Selection], key: ChoiceKey, clock: Callable[[], float]) -> Selection:
    by_name = {f"{one.embedder.backend} {one.embedder.precision}": one for one in opened}
    crops = release.golden.crops
    batch = crops[np.arange(SMALL_BATCHES[-1]) % len(crops)]
    embedders = {name: one.embedder for name, one in by_name.items()}
    ranked = ranking(measure_ms(embedders, batch, budget_s=_BUDGET_S, clock=clock))
    why = f"median of {len(batch)} crops: " + ", ".join(f"{name} {median_ms:.2f} ms" for name, median_ms in ranked)
    best = by_name[ranked[0][0]]
    remember(release, Choice(key=key, backend=best.embedder.backend, precision=best.embedder.precision, why=why))
    return Selection(best.embedder, best.golden_cosine, why)
