"""Tracks that jump from one person to another. Pure: embeddings in, names of persons' tracks out.

A tracker follows boxes. Where two people cross, it may go on with the wrong one, and a tracklet of two people spoils
both their identities. The embedding tells: a track whose views stop resembling what it looked like until now, for
`confirm_views` views in a row, is ended, and a new one begins with the next view. Until that is clear the odd views are
withheld, since nobody knows whom they show; if the old looks come back, they were an accident: somebody in front.

The tracker's ids come in; ids of this file's own go out, each for one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import FloatArray

_COHERENCE_PAIRS = 1000
_LEAST_PAIRS = 30


class SwitchSettings(Settings):
    """When a track is taken to show somebody else."""

    similarity: float = Field(default=0.5, ge=-1, le=1)
    """A view with a cosine below this to the track's mean is odd. Depends on the weights; -1 switches splitting off."""
    confirm_views: int = Field(default=3, ge=1)
    """Odd views in a row that end a track."""
    memory: float = Field(default=0.9, ge=0, lt=1)
    """Share of the mean that stays when a view is added."""


class Judgement(NamedTuple):
    """What to do with a view.

    Attributes:
        person_track: The track that the view belongs to, or None to withhold it.
        ended: The track that has ended because of it, or None.
    """

    person_track: int | None
    ended: int | None = None


class Coherence(NamedTuple):
    """How alike neighbouring views of one track are.

    Attributes:
        mean: Of their cosines, over the last thousand pairs or so of one space.
        weight: Pairs in it.
    """

    mean: float = 0.0
    weight: int = 0

    def including(self, cosine: float) -> Coherence:
        """With one pair more."""
        weight = min(self.weight + 1, _COHERENCE_PAIRS)
        return Coherence(self.mean + (cosine - self.mean) / weight, weight)


def mean_coherence(parts: Iterable[Coherence]) -> float:
    """Of several cameras together; 0 while too few pairs were seen to mean anything."""
    total, weight = 0.0, 0
    for part in parts:
        total, weight = total + part.mean * part.weight, weight + part.weight
    return total / weight if weight >= _LEAST_PAIRS else 0.0


@dataclass
class _Track:
    person_track: int
    mean: FloatArray
    last: FloatArray
    num_odd: int = 0


class SwitchGuard:
    """Watches all tracks of one camera.

    Attributes:
        num_switches: Tracks that were split so far.
        coherence: Of the views since the last restart; replaced as a whole, so that any thread may read it.
    """

    def __init__(self, settings: SwitchSettings) -> None:
        self.num_switches = 0
        self.coherence = Coherence()
        self._settings = settings
        self._tracks: dict[int, _Track] = {}
        self._numbers = count(1)

    def judge(self, track_id: int, embedding: FloatArray) -> Judgement:
        """Take in one view.

        Args:
            track_id: Of the tracker.
            embedding: (D,) float32, unit norm.
        """
        track = self._tracks.get(track_id)
        if track is None:
            track = self._tracks[track_id] = _Track(next(self._numbers), embedding, embedding)
            return Judgement(track.person_track)
        self.coherence = self.coherence.including(float(embedding @ track.last))
        track.last = embedding
        if float(embedding @ track.mean) / float(np.linalg.norm(track.mean)) < self._settings.similarity:
            return self._judge_odd(track, embedding)
        track.num_odd = 0
        memory = np.float32(self._settings.memory)
        track.mean = memory * track.mean + (1 - memory) * embedding
        return Judgement(track.person_track)

    def end(self, track_ids: list[int]) -> list[int]:
        """Forget tracks that the tracker has ended; returns the names they had here. Unknown ones are ignored."""
        return [self._tracks.pop(track_id).person_track for track_id in track_ids if track_id in self._tracks]

    def restart(self) -> list[int]:
        """End all tracks, since what follows is of another space; returns their names. Each goes on under a new one."""
        self.coherence = Coherence()
        return self.end(list(self._tracks))

    def _judge_odd(self, track: _Track, embedding: FloatArray) -> Judgement:
        track.num_odd += 1
        if track.num_odd < self._settings.confirm_views:
            return Judgement(None)
        ended = track.person_track
        track.person_track, track.mean, track.num_odd = next(self._numbers), embedding, 0
        self.num_switches += 1
        return Judgement(track.person_track, ended)
