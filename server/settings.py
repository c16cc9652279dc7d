"""All settings of `osprey-server run`, in one tree."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from reid.channel import is_loopback
from reid.errors import ConfigError
from reid.settings import Settings
from server.adaptation.settings import AdaptationSettings
from server.crops.settings import CropSettings
from server.gallery.settings import GallerySettings
from server.gate.settings import GateSettings
from server.matching.consolidation import ConsolidationSettings
from server.matching.online import MatchingSettings
from server.metrics import MetricsSettings
from server.releases.rollout import RolloutSettings
from server.releases.signing import SigningSettings
from server.retention import RetentionSettings
from server.storage.database import StorageSettings
from server.web.settings import WebSettings
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
    max_observations_per_s: float = Field(default=2000.0, gt=0)
    """What one edge may send for long; beyond, its stream is read more slowly and its spool keeps the rest."""
    burst_observations: int = Field(default=20_000, ge=1)
    """What it may send at once after a rest, as after a broken line."""
    clock_tolerance_s: float = Field(default=2.0, ge=0)
    """An edge's clock that is further off than this is corrected."""
    hello_timeout_s: float = Field(default=10.0, gt=0)
    """A stream that has not said hello by then is ended."""
    keepalive_s: float = Field(default=30.0, ge=0.1)
    """A connection without news for so long is asked for a sign of life; without one for a third of that, it ends."""


class ServerSettings(Settings):
    """Settings of the server; a TOML file has the same keys."""

    data: Path
    """Folder of the records; made if it is missing."""
    listen: str = DEFAULT_ADDRESS
    """HOST:PORT; port 0 takes a free one."""
    insecure: bool = False
    """No TLS and no roles: anybody on this machine can read and write. Only for addresses of this machine."""
    release: Path = DEFAULT_RELEASE
    """Release folder: its space is served, its threshold matches, its network embeds photos."""
    max_calls: int = Field(default=1024, ge=2)
    """Calls answered at a time, one for each edge's stream included; more are refused, to be tried again."""
    max_calls_per_caller: int = Field(default=32, ge=2)
    """Calls that one edge or person may have open; does not count without TLS."""
    revocation_check_s: float = Field(default=5.0, gt=0)
    """How often open streams are looked at: those of revoked edges end."""
    max_message_bytes: int = Field(default=8 << 20, ge=1 << 16)
    """Largest message taken, photos included."""
    stop_grace_s: float = Field(default=5.0, ge=0)
    """How long open calls may take to end at shutdown."""
    embedder_threads: int = Field(default=1, ge=0)
    """Threads for embedding a photo; 0 for one per core."""
    storage: StorageSettings = StorageSettings()
    """Where the records lie."""
    retention: RetentionSettings = RetentionSettings()
    """How long what is kept."""
    streams: StreamSettings = StreamSettings()
    """Limits of one edge's stream."""
    writer: WriterSettings = WriterSettings()
    """Batching of commits."""
    metrics: MetricsSettings = MetricsSettings()
    """Where Prometheus reads the metrics."""
    web: WebSettings = WebSettings()
    """Where and how the console is served."""
    gallery: GallerySettings = GallerySettings()
    """Where prototypes are searched."""
    matching: MatchingSettings = MatchingSettings()
    """How identities are decided."""
    consolidation: ConsolidationSettings = ConsolidationSettings()
    """When and how what was decided is looked at again."""
    crops: CropSettings = CropSettings()
    """Which crops are asked of the edges, and how many."""
    adaptation: AdaptationSettings = AdaptationSettings()
    """When and how the network is adapted to the site."""
    gate: GateSettings = GateSettings()
    """What an adapted release has to reach."""
    rollout: RolloutSettings = RolloutSettings()
    """How a release gets to the edges."""
    signing: SigningSettings = SigningSettings()
    """How long what edges may run is signed for."""


def check_listen(settings: ServerSettings) -> str:
    """Return the address to listen on, if it may be used.

    Raises:
        ConfigError: It is no HOST:PORT, or is reachable from other machines without TLS.
    """
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"listen {settings.listen!r}: wanted HOST:PORT, such as {DEFAULT_ADDRESS}")
    if settings.insecure and not is_loopback(settings.listen):
        raise ConfigError(
            f"listen {settings.listen!r} can be reached from other machines, and with --insecure anybody there could "
            "read and write. Use 127.0.0.1, or leave --insecure out and run 'osprey-server init' once"
        )
    return settings.listen
