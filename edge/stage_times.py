"""How long the stages of a pipeline take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class StageTimes:
    """Sums the time spent in named stages. One thread writes; any may read."""

    def __init__(self) -> None:
        self._total_s: defaultdict[str, float] = defaultdict(float)
        self._count: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to `stage`."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self._total_s[stage] += time.perf_counter() - begin_s
            self._count[stage] += 1


def mean_ms(parts: Iterable[StageTimes]) -> dict[str, float]:
    """Mean milliseconds of one run of each stage, over all parts."""
    total_s: defaultdict[str, float] = defaultdict(float)
    count: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        for stage, runs in list(part._count.items()):
            total_s[stage] += part._total_s[stage]
            count[stage] += runs
    return {stage: round(1000 * total_s[stage] / runs, 3) for stage, runs in count.items()}
