"""Which views of a person are worth sending. Pure: views and their times in, selections out.

Rules, for each track:
1. Nothing is sent before the track has `min_views` views: flickers of the detector never leave the camera.
2. Then the best view so far goes out: the first one, soon.
3. After that one goes out when the person looks different (embedding further than `change_similarity` from the last
   one sent, `changed_views` times) and at the latest `max_interval_s` after the one before: always the best of its
   interval; after a change, the best of the changed ones.
4. Views below `min_quality` are not sent.
5. A view goes out only when a later one is there, so one is always left to carry `is_last` when the track ends. Every
   track of which something was sent ends that way; rule 4 gives way to this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import Box, FloatArray, UInt8Array


class KeyframeSettings(Settings):
    """What makes a view worth sending."""

    min_views: int = Field(default=3, ge=1)
    """Views of a track before anything of it is sent."""
    min_quality: float = Field(default=0.05, ge=0, le=1)
    """Views below are not sent."""
    change_similarity: float = Field(default=0.8, ge=-1, le=1)
    """A view with a cosine below this to the last one sent looks different."""
    changed_views: int = Field(default=2, ge=1)
    """Different views in one interval that make a change; one alone may be an accident."""
    min_interval_s: float = Field(default=0.2, ge=0)
    """Shortest time between two that are sent."""
    max_interval_s: float = Field(default=1.0, gt=0)
    """Longest time between two that are sent, while the track is seen."""


@dataclass(frozen=True, slots=True)
class View:
    """One person in one frame.

    Attributes:
        track_id: Of the camera's tracker.
        time_us: When the frame was captured.
        arrived_s: When it was read, monotonic clock.
        box: Where in the frame.
        quality: In [0, 1].
        embedding: (D,) float32, unit norm.
        space: Of the embedding; all views of a track have one, so that they can be compared.
        crop: uint8 (256, 128, 3) BGR if crops are kept, or None.
    """

    track_id: int
    time_us: int
    arrived_s: float
    box: Box
    quality: float
    embedding: FloatArray
    space: str
    crop: UInt8Array | None = None


class Selection(NamedTuple):
    """A view to send; `is_last` when its track has ended."""

    view: View
    is_last: bool


@dataclass
class _Track:
    """What is known of one track since it began, and since something of it was sent.

    Attributes:
        num_views: Since the track began.
        sent: The last view that was sent.
        interval_start_us: When that was.
        best: Best view since, of those good enough.
        poor: Best view since, of the others.
        changed: Best view since, of those good enough that look different from `sent`.
        num_changed: How many look different.
    """

    interval_start_us: int
    num_views: int = 0
    sent: View | None = None
    best: View | None = None
    poor: View | None = None
    changed: View | None = None
    num_changed: int = 0


class KeyframePolicy:
    """Decides for all tracks of one camera.

    Attributes:
        num_seen: Views offered.
        num_selected: Views selected.
        num_tracks: Tracks of which something was selected.
        num_discarded: Tracks that ended with nothing selected.
    """

    def __init__(self, settings: KeyframeSettings) -> None:
        self.num_seen = 0
        self.num_selected = 0
        self.num_tracks = 0
        self.num_discarded = 0
        self._settings = settings
        self._tracks: dict[int, _Track] = {}

    def update(self, views: Sequence[View], ended: Sequence[int] = ()) -> list[Selection]:
        """Take in one frame.

        Args:
            views: At most one per track.
            ended: Tracks of which no view will follow; unknown ones are ignored.
        """
        offered = [self._offer(view) for view in views]
        finished = [self._end(track_id) for track_id in ended]
        return [selection for selection in (*offered, *finished) if selection is not None]

    def end_all(self) -> list[Selection]:
        """End every track: the camera has stopped."""
        return self.update([], list(self._tracks))

    def _offer(self, view: View) -> Selection | None:
        self.num_seen += 1
        track = self._tracks.setdefault(view.track_id, _Track(interval_start_us=view.time_us))
        due = self._due(track, view.time_us)
        if due is not None:
            self._start_interval(track, sent=due, now_us=view.time_us)
        self._keep(track, view)
        return None if due is None else self._select(due, is_last=False)

    def _due(self, track: _Track, now_us: int) -> View | None:
        """The pending view that must go out now that a later one is there."""
        if track.sent is None:
            return track.best if track.num_views >= self._settings.min_views else None
        # A clock that was set back must not silence a track, hence the absolute value.
        elapsed_s = abs(now_us - track.interval_start_us) / 1e6
        if track.num_changed >= self._settings.changed_views and elapsed_s >= self._settings.min_interval_s:
            return track.changed
        return track.best if elapsed_s >= self._settings.max_interval_s else None

    def _start_interval(self, track: _Track, *, sent: View, now_us: int) -> None:
        self.num_tracks += track.sent is None
        track.sent, track.interval_start_us = sent, now_us
        track.best = track.poor = track.changed = None
        track.num_changed = 0

    def _keep(self, track: _Track, view: View) -> None:
        track.num_views += 1
        if view.quality < self._settings.min_quality:
            track.poor = _better(track.poor, view)
            return
        track.best = _better(track.best, view)
        if track.sent is not None and _cosine(view, track.sent) < self._settings.change_similarity:
            track.changed = _better(track.changed, view)
            track.num_changed += 1

    def _end(self, track_id: int) -> Selection | None:
        track = self._tracks.pop(track_id, None)
        if track is None:
            return None
        last = track.best if track.num_views >= self._settings.min_views else None
        if track.sent is not None:
            last = track.best or track.poor
        if last is None:
            self.num_discarded += 1
            return None
        self.num_tracks += track.sent is None
        return self._select(last, is_last=True)

    def _select(self, view: View, *, is_last: bool) -> Selection:
        self.num_selected += 1
        return Selection(view, is_last)


def _better(old: View | None, new: View) -> View:
    """The view of higher quality; of equal ones the newer, which is nearer to what follows."""
    return new if old is None or new.quality >= old.quality else old


def _cosine(one: View, other: View) -> float:
    return float(np.dot(one.embedding, other.embedding))
