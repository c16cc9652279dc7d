"""Which frames a live camera looks at. Pure: what the last frames cost and how old they were in, a stride out.

State          every frame of the camera is looked at (stride 1), or only each second, third, … (stride 2, 3, …)
Late           `late_frames` in a row took longer than the frames that the stride leaves for them, or were older than
               `max_age_s` in the end: the stride grows to what would have fitted, at most to `max_gap_s` between frames
Calm           for `calm_s` all frames would have fitted into a stride of one less: it shrinks by one

A frame is left out as a whole, boxes and all. The tracker knows the time of every frame and carries each track over the
gap; a frame in which nothing was looked for would count as one in which nobody was found, and no track that began
meanwhile would ever be confirmed.

Beyond that stride the capture drops what comes too fast, as ever: the latest frame wins. Files have no pace.
"""

from __future__ import annotations

import math

from pydantic import Field

from edge.frames import Frame
from reid.settings import Settings

_MEMORY = 0.8
"""Share of the mean cost of a frame, and of the mean time between two, that stays when one is added."""


class PaceSettings(Settings):
    """When a live camera leaves out frames by intention."""

    max_gap_s: float = Field(default=0.2, ge=0, le=10)
    """Longest time between two frames that are looked at, as far as it is a matter of choice; 0 leaves out none. Keep
    it well below `tracking.lost_buffer_s`."""
    max_age_s: float = Field(default=0.5, gt=0)
    """A frame that is older than this when it is through is late."""
    busy_share: float = Field(default=0.9, gt=0, le=1)
    """Share of the time between two frames that the work on one may take."""
    late_frames: int = Field(default=3, ge=1)
    """Late frames in a row that make the stride grow."""
    calm_s: float = Field(default=5.0, ge=0)
    """Time without trouble after which the stride shrinks by one."""


class Pace:
    """Decides for one camera.

    Attributes:
        stride: One of so many frames is looked at.
        num_skipped: Frames left out so far.
    """

    def __init__(self, settings: PaceSettings | None = None) -> None:
        self.stride = 1
        self.num_skipped = 0
        self._settings = settings or PaceSettings()
        self._last: Frame | None = None
        self._interval_s = 0.0
        self._work_s = 0.0
        self._num_late = 0
        self._calm_since_s = math.inf

    def takes(self, frame: Frame) -> bool:
        """Whether to look at a frame; frames that the capture dropped count as left out."""
        last = self._last
        # A camera that was opened again counts its frames from 0.
        if last is not None and 0 < frame.index - last.index < self.stride:
            self.num_skipped += 1
            return False
        if last is not None and frame.index > last.index:
            interval_s = (frame.arrived_s - last.arrived_s) / (frame.index - last.index)
            self._interval_s = _mean(self._interval_s, interval_s)
        self._last = frame
        return True

    def note(self, *, work_s: float, age_s: float, now_s: float) -> None:
        """Take in what became of a frame that was looked at.

        Args:
            work_s: Time that was spent on it.
            age_s: From its arrival to the end of the work.
            now_s: Monotonic clock.
        """
        self._work_s = _mean(self._work_s, work_s)
        if self._interval_s <= 0:
            return
        is_old = age_s > self._settings.max_age_s
        self._num_late = self._num_late + 1 if is_old or work_s > self._room_s(self.stride) else 0
        if is_old or self._work_s > self._room_s(self.stride - 1):
            self._calm_since_s = math.inf
        else:
            self._calm_since_s = min(self._calm_since_s, now_s)
        if self._num_late >= self._settings.late_frames:
            self._change(max(self.stride + 1, self._fitting_stride()), now_s)
        elif now_s - self._calm_since_s >= self._settings.calm_s:
            self._change(self.stride - 1, now_s)

    def _room_s(self, stride: int) -> float:
        return self._settings.busy_share * stride * self._interval_s

    def _fitting_stride(self) -> int:
        return math.ceil(self._work_s / self._room_s(1))

    def _change(self, stride: int, now_s: float) -> None:
        most = max(1, round(self._settings.max_gap_s / self._interval_s))
        self.stride = min(max(stride, 1), most)
        self._num_late = 0
        self._calm_since_s = math.inf


def _mean(former: float, value: float) -> float:
    """The running mean with one value more; the first value is the mean."""
    return _MEMORY * former + (1 - _MEMORY) * value if former else value
