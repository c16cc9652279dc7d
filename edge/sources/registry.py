"""From the uri of a camera to its frames."""

from __future__ import annotations

from pathlib import Path

from edge.errors import SourceError
from edge.frames import FrameSource
from edge.sources.gstreamer import GstreamerSource
from edge.sources.images import ImageFolderSource
from edge.sources.mot import MotSequenceSource, is_mot_sequence
from edge.sources.simulated import SimulatedSource
from edge.sources.stream import StreamSource
from edge.sources.uri import FORMS, gstreamer_parts, is_simulated, is_stream, is_webcam, masked
from edge.sources.video import VideoFileSource
from edge.sources.webcam import WebcamSource


def open_source(uri: str, *, start_time_us: int) -> FrameSource:
    """Open what a uri names.

    Args:
        uri: One of `FORMS`.
        start_time_us: Time of the first frame of files and of the simulated site. Cameras stamp the arrival.

    Raises:
        SourceError: It cannot be opened, or is of no known form. Passwords are not shown.
    """
    if is_stream(uri):
        return StreamSource(uri)
    if gstreamer_parts(uri) is not None:
        return GstreamerSource(uri)
    if is_webcam(uri):
        return WebcamSource(uri)
    if is_simulated(uri):
        return SimulatedSource(uri, start_time_us=start_time_us)
    path = Path(uri)
    if is_mot_sequence(path):
        return MotSequenceSource(path, start_time_us=start_time_us)
    if uri and path.is_dir():
        return ImageFolderSource(path, start_time_us=start_time_us)
    if path.is_file():
        return VideoFileSource(path, start_time_us=start_time_us)
    raise SourceError(f"no camera, file or folder {masked(uri)!r}: give {FORMS}")
