"""Tracklets in formats that other tools read. Pure: text out, no files.

MOT is the format of MOTChallenge, one text for each camera: `frame, id, left, top, width, height, confidence, -1, -1,
-1`, frames from 1. The id is the person, so that it is the same in all cameras; frames count from the first sighting of
all cameras, so that they are in step.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from server.types import Camera, Sighting, TrackletSummary

CSV_HEAD = ("edge_id", "camid", "tracklet_id", "person_id", "time_us", "x1", "y1", "x2", "y2", "quality")


def tracklet_to_json(tracklet: TrackletSummary) -> dict[str, Any]:
    """A tracklet as JSON, with its sightings."""
    return {
        **tracklet.camera._asdict(),
        "tracklet_id": tracklet.tracklet_id,
        "person_id": tracklet.person_id,
        "start_us": tracklet.start_us,
        "end_us": tracklet.end_us,
        "num_observations": tracklet.num_observations,
        "sightings": [
            {"time_us": sighting.time_us, "box": list(sighting.box), "quality": sighting.quality}
            for sighting in tracklet.sightings
        ],
    }


def to_csv(tracklets: Iterable[TrackletSummary]) -> str:
    """One line for each sighting, under `CSV_HEAD`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for tracklet in tracklets:
        for sighting in tracklet.sightings:
            names = (*tracklet.camera, tracklet.tracklet_id, tracklet.person_id)
            writer.writerow((*names, sighting.time_us, *sighting.box, f"{sighting.quality:.4f}"))
    return text.getvalue()


def to_mot(tracklets: Sequence[TrackletSummary], *, fps: float) -> dict[Camera, str]:
    """The text of each camera.

    Args:
        tracklets: With their sightings.
        fps: Frames a second; times are rounded to the nearest frame.
    """
    first_us = min((sighting.time_us for tracklet in tracklets for sighting in tracklet.sightings), default=0)
    lines: defaultdict[Camera, list[tuple[int, int, str]]] = defaultdict(list)
    for tracklet in tracklets:
        for sighting in tracklet.sightings:
            frame = 1 + round((sighting.time_us - first_us) * fps / 1e6)
            line = f"{frame},{tracklet.person_id},{_mot_box(sighting)},-1,-1,-1\n"
            lines[tracklet.camera].append((frame, tracklet.person_id, line))
    return {camera: "".join(line for *_, line in sorted(rows)) for camera, rows in sorted(lines.items())}


def _mot_box(sighting: Sighting) -> str:
    x1, y1, x2, y2 = sighting.box
    return f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{sighting.quality:.4f}"
