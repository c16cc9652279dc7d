"""A person's timeline as a picture: cameras are lanes, tracklets are bars, and time runs to the right. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from server.moments import duration, moment
from server.types import Camera, TrackletSummary

WIDTH_PX = 900
_LABELS_PX = 150
_RIGHT_PX = 40
_LANE_PX = 28
_BAR_PX = 16
_LEAST_BAR_PX = 4.0
_AXIS_PX = 34
_TOP_PX = 6
_MOST_TICKS = 6
_S = 1_000_000
_STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200)
_DAY_S = 86_400


class Bar(NamedTuple):
    """A tracklet: where it is drawn, and what it says."""

    x: float
    y: float
    width: float
    height: int
    text: str
    anchor: str


class Lane(NamedTuple):
    """A camera: the middle of its lane."""

    y: float
    text: str


class Tick(NamedTuple):
    """A moment on the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What to draw, in pixels.

    Attributes:
        width: Of the picture.
        height: Of the picture.
        left: Where time begins.
        right: Where it ends.
        axis_y: The axis.
        lanes: One for each camera, in order of their names.
        bars: One for each tracklet.
        ticks: Times in UTC.
        date: The day of the first moment.
    """

    width: int
    height: int
    left: int
    right: int
    axis_y: int
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    date: str


def draw_timeline(tracklets: Sequence[TrackletSummary]) -> Timeline | None:
    """Place tracklets of one person; None when there are none."""
    if not tracklets:
        return None
    start_us = min(tracklet.start_us for tracklet in tracklets)
    span_us = max(1, max(tracklet.end_us for tracklet in tracklets) - start_us)
    by_name = sorted({tracklet.camera for tracklet in tracklets}, key=lambda camera: (camera.camid, camera.edge_id))
    lanes = {camera: _TOP_PX + _LANE_PX * row for row, camera in enumerate(by_name)}
    right = WIDTH_PX - _RIGHT_PX
    scale = (right - _LABELS_PX) / span_us
    axis_y = _TOP_PX + _LANE_PX * len(lanes)
    is_ambiguous = len({camera.camid for camera in lanes}) < len(lanes)

    def place(tracklet: TrackletSummary) -> Bar:
        width = max(_LEAST_BAR_PX, (tracklet.end_us - tracklet.start_us) * scale)
        x = min(_LABELS_PX + (tracklet.start_us - start_us) * scale, right - _LEAST_BAR_PX)
        y = lanes[tracklet.camera] + (_LANE_PX - _BAR_PX) / 2
        return Bar(round(x, 1), y, round(width, 1), _BAR_PX, _words(tracklet), anchor_of(tracklet))

    return Timeline(
        width=WIDTH_PX,
        height=axis_y + _AXIS_PX,
        left=_LABELS_PX,
        right=right,
        axis_y=axis_y,
        lanes=tuple(Lane(y + _LANE_PX / 2, _label(camera, is_ambiguous)) for camera, y in lanes.items()),
        bars=tuple(place(tracklet) for tracklet in tracklets),
        ticks=tuple(
            Tick(round(_LABELS_PX + (time_us - start_us) * scale, 1), text)
            for time_us, text in _ticks(start_us, span_us)
        ),
        date=moment(start_us)[:10],
    )


def anchor_of(tracklet: TrackletSummary) -> str:
    """The place of a tracklet in its page."""
    return f"t-{tracklet.camera.edge_id}-{tracklet.camera.camid}-{tracklet.tracklet_id}"


def _words(tracklet: TrackletSummary) -> str:
    lasted = duration(tracklet.end_us - tracklet.start_us)
    return f"{tracklet.camera.camid}, {moment(tracklet.start_us)} UTC, {lasted}, {tracklet.num_observations} views"


def _label(camera: Camera, is_ambiguous: bool) -> str:
    return f"{camera.edge_id}/{camera.camid}" if is_ambiguous else camera.camid


def _ticks(start_us: int, span_us: int) -> Iterator[tuple[int, str]]:
    """Round moments within a span, at most a handful, with what to write there."""
    step_s = next((step for step in _STEPS_S if span_us / _S / step <= _MOST_TICKS), 0)
    if not step_s:
        step_s = _DAY_S * max(1, -(-span_us // (_S * _DAY_S * _MOST_TICKS)))
    step_us = step_s * _S
    first_us = -(-start_us // step_us) * step_us
    for time_us in range(first_us, start_us + span_us + 1, step_us):
        yield time_us, _tick_text(time_us, step_s)


def _tick_text(time_us: int, step_s: int) -> str:
    try:
        at = datetime.fromtimestamp(time_us / 1e6, timezone.utc)
    except (OverflowError, ValueError, OSError):  # an edge's clock may say anything
        return ""
    if step_s >= _DAY_S or (at.hour == at.minute == at.second == 0):
        return at.strftime("%d %b")
    return at.strftime("%H:%M:%S" if step_s < 60 else "%H:%M")
