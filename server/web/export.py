"""What the console lets people take away: tracklets as a file of one of the formats of `server.export`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from server.export import to_csv, to_mot, tracklet_to_json
from server.types import TrackletSummary


class ExportFormat(str, Enum):
    """What a file holds."""

    JSON = "json"
    CSV = "csv"
    MOT = "mot"


class FileKind(NamedTuple):
    """What a browser is told of a file."""

    media_type: str
    suffix: str
    label: str


EXPORTS: Mapping[ExportFormat, FileKind] = {
    ExportFormat.JSON: FileKind("application/json", ".json", "JSON"),
    ExportFormat.CSV: FileKind("text/csv; charset=utf-8", ".csv", "CSV"),
    ExportFormat.MOT: FileKind("application/zip", "-mot.zip", "MOT (ZIP, a folder for each camera)"),
}


def write_export(tracklets: Sequence[TrackletSummary], format: ExportFormat, *, fps: float) -> bytes:
    """The file.

    Args:
        tracklets: With their sightings.
        format: What to write.
        fps: MOT: frames a second.
    """
    if format is ExportFormat.CSV:
        return to_csv(tracklets).encode()
    if format is ExportFormat.JSON:
        return (json.dumps([tracklet_to_json(tracklet) for tracklet in tracklets]) + "\n").encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as folder:
        for camera, text in to_mot(tracklets, fps=fps).items():
            folder.writestr(f"{camera.edge_id}_{camera.camid}".replace("/", "_") + "/gt.txt", text)
    return content.getvalue()
