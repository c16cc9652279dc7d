"""A source that does as it is told, a clock that stands still, and a count of what was opened and closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from edge.frames import Frame
from reid.types import UInt8Array

LONG_S = 20.0
"""Longer than anything takes; never waited for when the test passes."""

Step = Frame | Exception | Callable[[], None] | None


def picture(*, height: int = 8, width: int = 8, level: int = 0) -> UInt8Array:
    return np.full((height, width, 3), level, np.uint8)


def make_frame(index: int, image: UInt8Array | None = None) -> Frame:
    return Frame(picture() if image is None else image, 1_000_000 + index * 100_000, index)


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeSource:
    """Plays steps: a frame is returned, an exception raised, a function called; then the end of the file."""

    def __init__(self, steps: Sequence[Step], *, is_live: bool = False, frame_rate_hz: float = 10.0) -> None:
        self.is_live = is_live
        self.frame_rate_hz = frame_rate_hz
        self.num_read = 0
        self.closed = threading.Event()
        self._steps = list(steps)

    def read(self) -> Frame | None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Frame):
                self.num_read += 1
                return step
            if step is None:
                return None
            step()
        return None

    def close(self) -> None:
        self.closed.set()


class Opener:
    """Opens the given sources one after another; an exception in the list is raised instead. Then only the last."""

    def __init__(self, *sources: FakeSource | Exception) -> None:
        self.num_opened = 0
        self._sources = sources

    def __call__(self) -> FakeSource:
        source = self._sources[min(self.num_opened, len(self._sources) - 1)]
        self.num_opened += 1
        if isinstance(source, Exception):
            raise source
        return source


class Hang:
    """A step that does not return before it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        self.released.wait(LONG_S)
