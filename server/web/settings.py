"""Settings of the console."""

from __future__ import annotations

from pydantic import Field

from reid.channel import is_loopback
from reid.errors import ConfigError
from reid.settings import Settings


class WebSettings(Settings):
    """Where and how the console is served."""

    listen: str = ""
    """HOST:PORT; port 0 takes a free one, empty turns the console off."""
    idle_s: float = Field(default=3600.0, gt=0)
    """Whoever asks for no page for so long must log in again."""
    session_s: float = Field(default=43_200.0, gt=0)
    """So must everybody so long after their login."""
    most_sessions: int = Field(default=256, ge=1)
    """People logged in at a time; beyond, who was idle for longest must log in again."""
    attempts_per_minute: int = Field(default=5, ge=1)
    """Failed logins that one address may make; ten times as many are taken from all together."""
    max_upload_bytes: int = Field(default=16 << 20, ge=1 << 16)
    """Largest photo or floor plan taken."""
    detector: str = "hog"
    """Finds persons in photos to search by: `hog`, which needs no file and is weak, or the path of an ONNX detector."""
    detector_score: float = Field(default=0.4, ge=0, le=1)
    """Weaker boxes of it are dropped."""
    keep_photos_s: float = Field(default=3600.0, gt=0)
    """How long a photo to search by stays in memory; it is never written to disk."""
    photos_mib: float = Field(default=64.0, gt=0)
    """Memory for such photos; the oldest make room."""
    most_connections: int = Field(default=128, ge=2)
    """Connections and pages under way at a time; more are told to come again."""


def check_web(settings: WebSettings, *, insecure: bool) -> str:
    """Return the address to listen on, if it may be used; empty for no console.

    Args:
        settings: Of the console.
        insecure: Without TLS and login.

    Raises:
        ConfigError: It is no HOST:PORT, or is reachable from other machines without TLS.
    """
    if not settings.listen:
        return ""
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"web {settings.listen!r}: wanted HOST:PORT, such as 127.0.0.1:8443, or '' for no console")
    if insecure and not is_loopback(settings.listen):
        raise ConfigError(
            f"web {settings.listen!r} can be reached from other machines, and with --insecure anybody there could read "
            "and write. Use 127.0.0.1, or leave --insecure out and run 'osprey-server init' once"
        )
    return settings.listen
