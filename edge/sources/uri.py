"""Names of cameras, as users write them: what kind a uri is, and how it may be shown."""

from __future__ import annotations

import re

GSTREAMER_FORM = "gst-h264+rtsp://… or gst-h265+rtsp://…"

FORMS = (
    "rtsp://… or rtsps://… (network camera), http://… or https://… (stream), webcam:NUMBER, "
    f"{GSTREAMER_FORM} (network camera, decoded by a Jetson's chip), "
    "sim:?seed=1&camera=c1 (simulated site), a video file, or a folder of pictures (with seqinfo.ini: a MOT sequence)"
)
"""Every form of a uri, for messages and help texts."""

_STREAM = re.compile(r"(rtsps?|https?)://", re.IGNORECASE)
_NETWORK = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_GSTREAMER = re.compile(r"gst-(h264|h265)\+(rtsps?://.+)", re.IGNORECASE | re.DOTALL)
_WEBCAM = re.compile(r"webcam:\d+")
_SIMULATED = "sim:"


def is_stream(uri: str) -> bool:
    """True for network cameras."""
    return _STREAM.match(uri) is not None


def is_webcam(uri: str) -> bool:
    """True for cameras at this machine."""
    return _WEBCAM.fullmatch(uri) is not None


def gstreamer_parts(uri: str) -> tuple[str, str] | None:
    """Codec and address of a network camera that GStreamer reads; None for everything else."""
    match = _GSTREAMER.fullmatch(uri)
    return (match[1].lower(), match[2]) if match else None


def is_simulated(uri: str) -> bool:
    """True for cameras of the simulated site."""
    return uri.startswith(_SIMULATED)


def is_live(uri: str) -> bool:
    """True for cameras; False for files, folders and the simulated site, which wait for their reader."""
    return is_stream(uri) or is_webcam(uri) or gstreamer_parts(uri) is not None


def masked(uri: str) -> str:
    """The uri fit for logs and messages: without user, password and query of whatever is on a network."""
    if not _NETWORK.match(uri):
        return uri
    # Up to the last @: passwords with an unescaped / or @ are seen in the field, and must not show either.
    scheme, _, rest = uri.partition("//")
    login, at, place = rest.rpartition("@")
    if "?" in login:  # a password with a ?, or a query with an @: impossible to tell
        return f"{scheme}//***"
    address, question, _ = place.partition("?")
    return f"{scheme}//{'***@' if at else ''}{address}{'?***' if question else ''}"
