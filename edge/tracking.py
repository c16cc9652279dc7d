"""Tracking inside one camera: detections in, boxes with a `track_id` out. Wraps ByteTrack of the `trackers` package.

Paper: Zhang et al., ByteTrack, arXiv 2110.06864. Time is counted in seconds of the frames, never in frames, so that
dropped frames neither lengthen a track's life nor stop its motion. Places are counted in pixels of the first frame, so
that a camera that changes its resolution keeps its tracks. No clock, thread or file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import supervision as sv
from pydantic import Field
from trackers import ByteTrackTracker

from reid.detector import Detections
from reid.settings import Settings
from reid.types import Box, FloatArray

_BUFFER_FRAMES_PER_S = 30
"""ByteTrackTracker counts its buffer in frames of a 30 Hz video, whatever the camera's rate is."""

_MOST_RATE_HZ = 12.5
"""ByteTrackTracker counts motion in frames of the rate that it is told. Told 25 Hz, it breaks twice as many tracks as
when told half of that, where three of four frames are left out; measured in docs/log.md."""

_UNCONFIRMED = -1


class TrackingSettings(Settings):
    """How boxes become tracks. Scores are the detector's, in [0, 1]."""

    activation_score: float = Field(default=0.5, ge=0, le=1)
    """A box that no track explains starts a new one only from this score on."""
    high_score: float = Field(default=0.4, ge=0, le=1)
    """Boxes from this score on are matched first; weaker ones only continue tracks that are then still unmatched."""
    min_iou: float = Field(default=0.2, ge=0, le=1)
    """Least overlap of a box with the predicted place of its track. Lower values swap people who cross; higher ones
    break tracks, which is the smaller evil: the server can join two tracklets of a person, not split a mixed one."""
    confirm_frames: int = Field(default=2, ge=1)
    """Frames in a row that a new track must be seen in before it is reported."""
    lost_buffer_s: float = Field(default=1.0, gt=0, le=60)
    """Seconds without a box after which a track ends; until then it can be found again."""


@dataclass(frozen=True)
class Track:
    """A person in the current frame.

    Attributes:
        track_id: From 1, counted by one tracker, never used twice by it.
        box: As detected.
        score: Of the detection, in [0, 1].
    """

    track_id: int
    box: Box
    score: float


@dataclass(frozen=True)
class TrackUpdate:
    """What one frame changed. At the end of a video all tracks that are still open end without an update.

    Attributes:
        tracks: Confirmed tracks that have a box in this frame.
        ended: Ids, reported before, that will never be reported again.
    """

    tracks: list[Track]
    ended: list[int]


class PersonTracker:
    """Follows the persons of one camera.

    Args:
        frame_rate_hz: The camera's nominal rate.
        settings: Thresholds.
    """

    def __init__(self, frame_rate_hz: float, settings: TrackingSettings | None = None) -> None:
        settings = settings or TrackingSettings()
        self._frame_s = 1.0 / frame_rate_hz
        self._most_elapsed_s = 2.0 * settings.lost_buffer_s + self._frame_s
        self._tracker = ByteTrackTracker(
            lost_track_buffer=max(1, round(settings.lost_buffer_s * _BUFFER_FRAMES_PER_S)),
            frame_rate=min(frame_rate_hz, _MOST_RATE_HZ),
            track_activation_threshold=settings.activation_score,
            minimum_consecutive_frames=settings.confirm_frames,
            minimum_iou_threshold=settings.min_iou,
            high_conf_det_threshold=settings.high_score,
        )
        self._last_time_us: int | None = None
        self._elapsed_s = 0.0
        # Ids of the library are class-wide in some of its versions; two cameras may share a process.
        self._id_of: dict[int, int] = {}
        self._num_tracks = 0
        self._first_size: FloatArray | None = None
        self._scale = np.ones(4, dtype=np.float32)

    def resize(self, width_px: int, height_px: int) -> None:
        """Take the boxes from here on as those of frames of this size; open tracks go on at the same share of it."""
        size = np.array([width_px, height_px] * 2, dtype=np.float32)
        if self._first_size is None:
            self._first_size = size
        self._scale = size / self._first_size

    def update(self, detections: Detections, time_us: int) -> TrackUpdate:
        """Take the detections of the next frame.

        Args:
            detections: Persons of one frame; weak ones too, down to half of `high_score` or less.
            time_us: When the frame was captured. A time that does not advance (the camera's clock was set back) counts
                as one frame later than the last.

        Returns:
            The tracks of this frame and those that ended.
        """
        tracked = self._tracker.update(
            sv.Detections(xyxy=detections.xyxy / self._scale, confidence=detections.scores),
            timestamp=self._advance(time_us),
        )
        tracks = [
            Track(self._own_id(int(theirs)), Box(*map(float, xyxy)), float(score))
            for theirs, xyxy, score in zip(
                tracked.tracker_id, tracked.xyxy * self._scale, self._scores(tracked), strict=True
            )
            if theirs != _UNCONFIRMED
        ]
        alive = {int(track.tracker_id) for track in self._tracker.tracks}
        ended = [self._id_of.pop(theirs) for theirs in list(self._id_of) if theirs not in alive]
        return TrackUpdate(tracks, ended)

    def _advance(self, time_us: int) -> float:
        if self._last_time_us is not None:
            step_s = (time_us - self._last_time_us) / 1e6
            # Past the buffer all tracks are gone anyway; a longer step would only strain the motion filter.
            self._elapsed_s += min(step_s, self._most_elapsed_s) if step_s > 0 else self._frame_s
        self._last_time_us = time_us
        return self._elapsed_s

    def _own_id(self, theirs: int) -> int:
        if theirs not in self._id_of:
            self._num_tracks += 1
            self._id_of[theirs] = self._num_tracks
        return self._id_of[theirs]

    @staticmethod
    def _scores(tracked: sv.Detections) -> np.ndarray:
        return np.zeros(0, dtype=np.float32) if tracked.confidence is None else tracked.confidence
