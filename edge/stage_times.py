"""How long the stages of a pipeline take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager

from reid.durations import Durations, merged


class StageTimes:
    """Counts the time spent in named stages. One thread writes; any may read."""

    def __init__(self) -> None:
        self._stages: defaultdict[str, Durations] = defaultdict(Durations)

    def measure(self, stage: str) -> AbstractContextManager[None]:
        """Count the time that the block takes for `stage`."""
        return self._stages[stage].measure()

    def add(self, stage: str, duration_s: float) -> None:
        """Count a time that was taken elsewhere for `stage`."""
        self._stages[stage].add(duration_s)

    def durations(self) -> dict[str, Durations]:
        """By stage."""
        return dict(self._stages)


def merged_stages(parts: Iterable[StageTimes]) -> dict[str, Durations]:
    """The stages of all parts, each as if it had run in one place."""
    stages: defaultdict[str, list[Durations]] = defaultdict(list)
    for part in parts:
        for stage, durations in part.durations().items():
            stages[stage].append(durations)
    return {stage: merged(pieces) for stage, pieces in stages.items()}


def mean_ms(parts: Iterable[StageTimes]) -> dict[str, float]:
    """Mean milliseconds of one run of each stage, over all parts."""
    stages = {stage: (durations.total_s, durations.count) for stage, durations in merged_stages(parts).items()}
    return {stage: round(1000 * total_s / count, 3) for stage, (total_s, count) in stages.items() if count}
