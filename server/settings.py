"""All settings of `osprey-server run`, in one tree."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from reid.errors import ConfigError
from reid.settings import Settings
from server.matching.online import MatchingSettings
from server.storage.database import StorageSettings
from server.writer import WriterSettings

ENV_PREFIX = "OSPREY_SERVER"
DEFAULT_ADDRESS = "127.0.0.1:7070"
DEFAULT_RELEASE = Path(__file__).parent.parent / "models" / "osnet_x0_25_default"


class StreamSettings(Settings):
    """Limits of one edge's stream."""

    window_batches: int = Field(default=16, ge=1, le=1024)
    """Batches that an edge may have un-acknowledged."""
    max_batch_observations: int = Field(default=64, ge=1, le=1024)
    """Observations in one batch."""
    max_cameras: int = Field(default=256, ge=1)
    """Cameras that one edge may announce."""
    hello_timeout_s: float = Field(default=10.0, gt=0)
    """A stream that has not said hello by then is ended."""


class ServerSettings(Settings):
    """Settings of the server; a TOML file has the same keys."""

    data: Path
    """Folder of the records; made if it is missing."""
    listen: str = DEFAULT_ADDRESS
    """HOST:PORT; port 0 takes a free one."""
    insecure_any_address: bool = False
    """Listen beyond this machine although anybody there can read and write."""
    release: Path = DEFAULT_RELEASE
    """Release folder: its space is served, its threshold matches, its network embeds photos."""
    max_calls: int = Field(default=1024, ge=2)
    """Calls answered at a time, one for each edge's stream included; more are refused, to be tried again."""
    max_message_bytes: int = Field(default=8 << 20, ge=1 << 16)
    """Largest message taken, photos included."""
    stop_grace_s: float = Field(default=5.0, ge=0)
    """How long open calls may take to end at shutdown."""
    embedder_threads: int = Field(default=1, ge=0)
    """Threads for embedding a photo; 0 for one per core."""
    storage: StorageSettings = StorageSettings()
    """Where the records lie."""
    streams: StreamSettings = StreamSettings()
    """Limits of one edge's stream."""
    writer: WriterSettings = WriterSettings()
    """Batching of commits."""
    matching: MatchingSettings = MatchingSettings()
    """How identities are decided."""


def check_listen(settings: ServerSettings) -> str:
    """Return the address to listen on, if it may be used.

    Raises:
        ConfigError: It is no HOST:PORT, or is reachable from other machines and that was not allowed.
    """
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"listen {settings.listen!r}: wanted HOST:PORT, such as {DEFAULT_ADDRESS}")
    if not _is_loopback(host.strip("[]")) and not settings.insecure_any_address:
        raise ConfigError(
            f"listen {settings.listen!r} can be reached from other machines, and this version has no TLS and no log-in "
            "yet: anybody there could read and write. Use 127.0.0.1 (and a tunnel), or pass --insecure-any-address"
        )
    return settings.listen


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
