"""What every edge last said of itself, and how it was lately. In memory: after a restart they say it again."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reid.types import ReleaseRef
from server.releases.health import Counters, Health, health_between
from server.releases.rollout import Answer, EdgeView, Fleet, RolloutSettings

_READINGS = 64
"""Kept of each edge, over `baseline_s`."""


@dataclass(frozen=True, kw_only=True)
class EdgeReport:
    """One status of an edge.

    Attributes:
        release: What it runs.
        backend: What computes its embeddings.
        embeddings: Since its agent started; so are frames, frames_dropped and faults.
        spool_depth: Observations that wait there.
        spool_dropped: Observations that the spool lost to its bound.
        embed_ms: Median time of a batch; 0 if not known.
        coherence: Mean cosine of neighbouring views of one tracklet; 0 if not known.
        swap_gap_ms: For how long crops waited while the last release was installed.
        directive_id: Which directive it answers; empty for none.
        answer: Its answer.
        message: What it says with it.
    """

    edge_id: str
    release: ReleaseRef
    backend: str = ""
    frames: int = 0
    frames_dropped: int = 0
    spool_depth: int = 0
    spool_dropped: int = 0
    embeddings: int = 0
    faults: int = 0
    embed_ms: float = 0.0
    coherence: float = 0.0
    swap_gap_ms: float = 0.0
    directive_id: str = ""
    answer: Answer = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast an edge was over the last `baseline_s`, all of its cameras together; a second."""

    frames_hz: float
    dropped_hz: float
    embeddings_hz: float


@dataclass
class _Page:
    """One edge's.

    Attributes:
        report: The latest.
        latest: Its counters.
        watched_since_us: Since when it attends without a break, restart or change of its release.
        readings: The oldest is about `baseline_s` old.
    """

    report: EdgeReport
    latest: Counters
    watched_since_us: int
    readings: deque[Counters] = field(default_factory=deque)


class FleetBook:
    """All edges that were heard since the server started. Any thread may use it.

    Args:
        settings: When an edge counts as away, and how long it is watched.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(self, settings: RolloutSettings, *, clock_us: Callable[[], int]) -> None:
        self._settings = settings
        self._clock_us = clock_us
        self._since_us = clock_us()
        self._pages: dict[str, _Page] = {}
        self._lock = threading.Lock()

    def note(self, report: EdgeReport) -> None:
        """An edge has said something."""
        now = Counters(
            time_us=self._clock_us(),
            embeddings=report.embeddings,
            faults=report.faults,
            frames=report.frames,
            frames_dropped=report.frames_dropped,
        )
        with self._lock:
            page = self._pages.get(report.edge_id)
            if page is None or self._is_break(page, report, now):
                page = self._pages[report.edge_id] = _Page(report, now, now.time_us)
            page.report, page.latest = report, now
            self._keep_reading(page.readings, now)

    def reports(self) -> dict[str, EdgeReport]:
        """What each edge said last, by edge_id; those that went away too."""
        with self._lock:
            return {edge_id: page.report for edge_id, page in sorted(self._pages.items())}

    def paces(self) -> dict[str, Pace]:
        """How fast each edge was lately, by edge_id; edges of which too little was heard are left out."""
        with self._lock:
            pairs = {edge_id: (page.readings[0], page.latest) for edge_id, page in self._pages.items()}
        return {edge_id: _pace(first, last) for edge_id, (first, last) in pairs.items() if last.time_us > first.time_us}

    def fleet(self) -> Fleet:
        """All edges at this moment."""
        now_us = self._clock_us()
        with self._lock:
            views = {edge_id: self._view(page, now_us) for edge_id, page in self._pages.items()}
        return Fleet(now_us=now_us, since_us=self._since_us, views=views)

    def _is_break(self, page: _Page, report: EdgeReport, now: Counters) -> bool:
        gap_s = (now.time_us - page.latest.time_us) / 1e6
        is_other = report.release.space != page.report.release.space
        return is_other or gap_s > self._settings.attending_s or not page.latest.precedes(now)

    def _keep_reading(self, readings: deque[Counters], now: Counters) -> None:
        span_us = int(self._settings.baseline_s * 1e6)
        if not readings or now.time_us - readings[-1].time_us >= span_us // _READINGS:
            readings.append(now)
        while len(readings) > 1 and readings[1].time_us <= now.time_us - span_us:
            readings.popleft()

    def _view(self, page: _Page, now_us: int) -> EdgeView:
        report = page.report
        return EdgeView(
            space=report.release.space,
            is_attending=(now_us - page.latest.time_us) / 1e6 <= self._settings.attending_s,
            heard_us=page.latest.time_us,
            watched_s=(page.latest.time_us - page.watched_since_us) / 1e6,
            counters=page.latest,
            recent=_recent(page),
            directive_id=report.directive_id,
            answer=report.answer,
            message=report.message,
        )


def _recent(page: _Page) -> Health:
    return health_between(
        page.readings[0],
        page.latest,
        embed_ms=_sound(page.report.embed_ms),
        coherence=_sound(page.report.coherence),
    )


def _pace(first: Counters, last: Counters) -> Pace:
    seconds = (last.time_us - first.time_us) / 1e6
    return Pace(
        frames_hz=(last.frames - first.frames) / seconds,
        dropped_hz=(last.frames_dropped - first.frames_dropped) / seconds,
        embeddings_hz=(last.embeddings - first.embeddings) / seconds,
    )


def _sound(value: float) -> float:
    """The value, or 0 for what is no measurement."""
    return value if math.isfinite(value) and value > 0 else 0.0
