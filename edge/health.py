"""How an edge is, in the figures by which the server judges a release on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.report import AgentReport
from reid.durations import quantile_s
from reid.types import ReleaseRef

_LEAST_BATCHES = 10
"""Of which a median means something."""


@dataclass(frozen=True, kw_only=True)
class EdgeHealth:
    """How an edge is; counts are of this run.

    Attributes:
        release: What runs.
        backend: By what.
        frames: That the cameras gave.
        frames_dropped: Of these, replaced by newer ones.
        spool_depth: Observations that wait for the server.
        spool_dropped: Dropped by the spool's bound, in its life.
        embeddings: Made.
        faults: Batches, boxes and frames that failed.
        embed_ms: Median time of a batch by this release, milliseconds; 0 while nothing is known.
        coherence: Mean cosine of neighbouring views of a tracklet by this release; 0 while nothing is known.
        swap_gap_ms: For how long crops waited and no batch came out while the last release was installed, at most.
    """

    release: ReleaseRef
    backend: str
    frames: int
    frames_dropped: int
    spool_depth: int
    spool_dropped: int
    embeddings: int
    faults: int
    embed_ms: float
    coherence: float
    swap_gap_ms: float


class HealthMeter:
    """Tells the health of an agent. One thread.

    Args:
        report: What it has done so far.
        release: What runs.
        batches: How many batches took at most how long, see `reid.durations.Durations.cumulative`.
    """

    def __init__(
        self,
        report: Callable[[], AgentReport],
        release: Callable[[], ReleaseRef],
        batches: Callable[[], Sequence[tuple[float, int]]],
    ) -> None:
        self._report = report
        self._release = release
        self._batches = batches
        self._measured: ReleaseRef | None = None
        self._before: dict[float, int] = {}

    def __call__(self) -> EdgeHealth:
        """The health at this moment."""
        report, release = self._report(), self._release()
        cameras = report.cameras.values()
        return EdgeHealth(
            release=release,
            backend=report.backend,
            frames=sum(camera.frames for camera in cameras),
            frames_dropped=sum(camera.dropped for camera in cameras),
            spool_depth=report.remaining,
            spool_dropped=report.spool_dropped,
            embeddings=report.batches.crops,
            faults=sum(sum(camera.faults.values()) for camera in cameras),
            embed_ms=self._embed_ms(release),
            coherence=report.coherence,
            swap_gap_ms=report.refresh.gap_ms,
        )

    def _embed_ms(self, release: ReleaseRef) -> float:
        """The median since this release was first met here."""
        rows = self._batches()
        if release != self._measured:
            is_first = self._measured is None
            self._measured, self._before = release, {} if is_first else dict(rows)
        new = [(bound_s, count - self._before.get(bound_s, 0)) for bound_s, count in rows]
        return 1000 * quantile_s(new, 0.5) if new and new[-1][1] >= _LEAST_BATCHES else 0.0
