"""How fast embedders are beside each other. No files; the clock is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from reid.embedder import Embedder
from reid.types import UInt8Array

_MIN_ROUNDS = 5


def measure_ms(
    embedders: Mapping[str, Embedder], crops: UInt8Array, *, budget_s: float, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time one batch on each embedder in turn, so that a busy moment of the machine slows all of them.

    Args:
        embedders: By name.
        crops: The batch, uint8 (N, 256, 128, 3).
        budget_s: Ends after the round in which this is used up; a slow machine gets five rounds all the same.
        clock: Monotonic seconds.

    Returns:
        Milliseconds of each call but the first, by name.
    """
    for embedder in embedders.values():
        embedder.embed(crops)
    times_ms: dict[str, list[float]] = {name: [] for name in embedders}
    started_s, num_rounds = clock(), 0
    while num_rounds < _MIN_ROUNDS or clock() - started_s < budget_s:
        for name, embedder in embedders.items():
            began_s = clock()
            embedder.embed(crops)
            times_ms[name].append((clock() - began_s) * 1e3)
        num_rounds += 1
    return times_ms


def ranking(times_ms: Mapping[str, Sequence[float]]) -> list[tuple[str, float]]:
    """Names with their median milliseconds, fastest first; of equals the one named first."""
    medians = [(name, median(times)) for name, times in times_ms.items()]
    return sorted(medians, key=lambda one: one[1])
