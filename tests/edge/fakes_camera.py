"""Detectors, trackers, embedders and captures that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from makers import DIM, unit_vector

from edge.connection import CaptureCounts
from edge.engine import Embedded
from edge.frames import Frame
from edge.tracking import Track, TrackUpdate
from reid.detector import Detections
from reid.errors import DetectorError, EmbeddingError
from reid.types import Box, ReleaseRef, UInt8Array


def make_frame(index: int, *, rate_hz: float = 10.0, size: tuple[int, int] = (240, 320)) -> Frame:
    """A grey frame with some texture."""
    image = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Frame(image, time_us=1_700_000_000_000_000 + round(index / rate_hz * 1e6), index=index)


class FakeDetector:
    """Finds the same boxes in every frame, until it shall fail."""

    num_too_small = 0

    def __init__(self, *boxes: Box) -> None:
        self.boxes: list[Box] = list(boxes)
        self.fails = False

    def detect(self, frame: Frame) -> Detections:
        if self.fails:
            raise DetectorError("the model failed")
        xyxy = np.array(self.boxes, dtype=np.float32).reshape(-1, 4)
        return Detections(xyxy, np.full(len(xyxy), 0.9, dtype=np.float32))


class FakeTracker:
    """Gives the first detection track 1, the second track 2 and so on; what is missing has ended."""

    def __init__(self) -> None:
        self._num_open = 0

    def resize(self, width_px: int, height_px: int) -> None:
        self.size_px = (width_px, height_px)

    def update(self, detections: Detections, time_us: int) -> TrackUpdate:
        tracks = [Track(row + 1, Box(*map(float, xyxy)), 0.9) for row, xyxy in enumerate(detections.xyxy)]
        ended = list(range(len(tracks) + 1, self._num_open + 1))
        self._num_open = len(tracks)
        return TrackUpdate(tracks, ended)


class FakeEngine:
    """Gives every crop the embedding `looks`, until it shall fail; remembers the sizes of its batches."""

    dim = DIM

    def __init__(self) -> None:
        self.release = ReleaseRef("tiny", "1", "s1")
        self.batch_sizes: list[int] = []
        self.fails = False
        self.looks = unit_vector(1.0)

    def embed(self, crops: UInt8Array) -> Embedded:
        if self.fails:
            raise EmbeddingError("embeddings are not finite")
        self.batch_sizes.append(len(crops))
        return Embedded(np.tile(self.looks, (len(crops), 1)), self.release)


class FakeCapture:
    """Hands out prepared frames, then ends."""

    failure = None
    frame_rate_hz = 10.0

    def __init__(self, frames: Sequence[Frame], *, on_frame: Callable[[], None] = lambda: None) -> None:
        self._frames = list(frames)
        self._on_frame = on_frame
        self.num_stops = 0
        self.num_frames = 0

    @property
    def ended(self) -> bool:
        return not self._frames

    @property
    def counts(self) -> CaptureCounts:
        return CaptureCounts(frames=self.num_frames)

    def next_frame(self, timeout_s: float) -> Frame | None:
        self._on_frame()
        self.num_frames += 1
        return self._frames.pop(0) if self._frames else None

    def stop(self) -> None:
        self.num_stops += 1
