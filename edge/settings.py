"""Config of an agent: one TOML file, environment variables `OSPREY_EDGE_*`, flags of the command line.

bundle = "/etc/osprey/entrance.bundle"
detector = "yolox_nano_416x416.onnx"

[cameras]
door = "rtsp://10.0.0.11/stream1"

[spool]
path = "/var/lib/osprey/spool.sqlite"
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge.backends.registry import AUTO, BACKENDS, DEFAULT, FORMS
from edge.batching import BatchingSettings
from edge.capture import CaptureSettings
from edge.crops import CropSettings
from edge.fleet import FleetSettings
from edge.keyframes import KeyframeSettings
from edge.metrics import MetricsSettings
from edge.pace import PaceSettings
from edge.releases.store import ReleaseSettings
from edge.ring import RingSettings
from edge.spool import SpoolSettings
from edge.switches import SwitchSettings
from edge.tracking import TrackingSettings
from edge.uplink import UplinkSettings
from reid.errors import ConfigError
from reid.settings import Settings
from reid.types import check_name

ENV_PREFIX = "OSPREY_EDGE"
SHIPPED_RELEASE = Path(__file__).parent.parent / "models" / "osnet_x0_25_default"


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).lstrip("-._")[:64] or "edge"


class AgentSettings(Settings):
    """Config of one edge agent."""

    edge_id: str = Field(default_factory=_host_name)
    """Name of this edge at its site; the host's name by default."""
    cameras: Mapping[str, str] = Field(min_length=1)
    """camid = uri: `rtsp://…`, `webcam:0`, a video file, a folder of pictures, `sim:…`."""
    server: str = ""
    """`HOST:PORT` of the central server; the bundle's by default."""
    bundle: Path | None = None
    """File that `osprey-server enroll edge` made: certificates, address, cameras. Without one the server must be on
    this machine, and is talked to in plain text."""
    release: Path = Field(default_factory=lambda: SHIPPED_RELEASE, validate_default=True)
    """Folder of the release to run; the one shipped with Osprey by default."""
    backend: str = DEFAULT
    """What runs the release: `onnxruntime`, `openvino`, `tensorrt`, or `auto` for the fastest that computes what was
    released."""
    detector: str = "hog"
    """`hog`, `truth` (boxes that come with the frames), a model `FILE.onnx` or a MOT `det.txt`."""
    min_person_score: float = Field(default=0.1, ge=0, le=1)
    """Detections below are thrown away; the tracker also uses weak ones."""
    min_person_height_px: int = Field(default=32, ge=1)
    """Detections lower than this are thrown away: too small to recognise anybody."""
    start_time: datetime | Literal["now"] = "now"
    """Time of the first frame of files, ISO 8601, UTC unless it names a zone. Cameras use the clock."""
    once: bool = False
    """End when all files have ended and everything is acknowledged, instead of running until stopped."""
    drain_timeout_s: float = Field(default=30.0, ge=0)
    """With `once`: how long to wait for the last acknowledgements."""
    num_threads: int = Field(default=0, ge=0)
    """Threads of the detector and of the embedder; 0 for one per core."""
    capture: CaptureSettings = CaptureSettings()
    pace: PaceSettings = PaceSettings()
    tracking: TrackingSettings = TrackingSettings()
    batching: BatchingSettings = BatchingSettings()
    switches: SwitchSettings = SwitchSettings()
    keyframes: KeyframeSettings = KeyframeSettings()
    spool: SpoolSettings = SpoolSettings()
    releases: ReleaseSettings = ReleaseSettings()
    crops: CropSettings = CropSettings()
    ring: RingSettings = RingSettings()
    uplink: UplinkSettings = UplinkSettings()
    fleet: FleetSettings = FleetSettings()
    metrics: MetricsSettings = MetricsSettings()

    @field_validator("edge_id")
    @classmethod
    def _check_edge_id(cls, name: str) -> str:
        return _checked(name, what="edge_id")

    @field_validator("cameras")
    @classmethod
    def _check_camids(cls, cameras: Mapping[str, str]) -> Mapping[str, str]:
        for camid in cameras:
            _checked(camid, what="camera")
        return cameras

    @field_validator("server")
    @classmethod
    def _check_server(cls, server: str) -> str:
        if not server:
            return server
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("wanted HOST:PORT")
        return server

    @model_validator(mode="after")
    def _check_has_server(self) -> AgentSettings:
        if not self.server and self.bundle is None:
            raise ValueError(
                "no server: name a bundle made by 'osprey-server enroll edge', or a server on this machine"
            )
        return self

    @field_validator("release")
    @classmethod
    def _check_release(cls, release: Path) -> Path:
        if release == SHIPPED_RELEASE and not release.is_dir():
            raise ValueError("none was named and none is shipped with this installation: give --release DIR")
        return release

    @field_validator("backend")
    @classmethod
    def _check_backend(cls, name: str) -> str:
        if name not in (*BACKENDS, AUTO):
            raise ValueError(f"wanted {FORMS}")
        return name

    @field_validator("start_time")
    @classmethod
    def _assume_utc(cls, moment: datetime | Literal["now"]) -> datetime | Literal["now"]:
        if isinstance(moment, datetime) and moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment

    def start_time_us(self, now_us: int) -> int:
        """When the first frame of a file was taken, microseconds since the Unix epoch.

        Args:
            now_us: The clock.
        """
        return now_us if self.start_time == "now" else round(self.start_time.timestamp() * 1e6)


def _checked(name: str, *, what: str) -> str:
    try:
        return check_name(name, what=what)
    except ConfigError as error:
        raise ValueError(str(error)) from None
