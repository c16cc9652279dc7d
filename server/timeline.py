"""Tracklets as people follow them: how one is named, and how long nobody saw the person before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reid.errors import ConfigError
from server.types import TrackletSummary


def write_tracklet(tracklet: TrackletSummary) -> str:
    """Name a tracklet: EDGE/CAMERA/NUMBER."""
    return f"{tracklet.camera.edge_id}/{tracklet.camera.camid}/{tracklet.tracklet_id}"


def read_tracklet(text: str) -> tuple[str, str, int]:
    """The edge_id, camid and tracklet_id of a tracklet's name.

    Raises:
        ConfigError: It is none.
    """
    camera, _, number = text.rpartition("/")
    edge_id, _, camid = camera.partition("/")
    if not edge_id or not camid or not number.isdecimal():
        raise ConfigError(f"tracklet {text!r}: wanted EDGE/CAMERA/NUMBER, such as edge1/cam1/7")
    return edge_id, camid, int(number)


def with_gaps(tracklets: Sequence[TrackletSummary]) -> Iterator[tuple[TrackletSummary, int | None]]:
    """Each with the time since everything before it had ended; below 0 when two cameras saw the person at once.

    Args:
        tracklets: Of one person, in order of their start.

    Yields:
        Tracklets with microseconds; None for the first.
    """
    last_us: int | None = None
    for tracklet in tracklets:
        yield tracklet, None if last_us is None else tracklet.start_us - last_us
        last_us = tracklet.end_us if last_us is None else max(last_us, tracklet.end_us)
