"""What the demo runs: the site, the folders, and the command lines of the server and the edges."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode

from simulation.site import SimulatedSite, SiteConfig

_MOST_REFRESH_S = 1200.0
"""Cameras have so much to show while the network is refreshed; what is left is not played."""
_SERVER_CONFIG = """\
# A refresh in minutes: a site would ask for more crops, train longer and watch each ring for longer.
[crops]
held_out_share = 0.4

[gate]
confidence = 0.8  # a dozen people seen for a minute show a gain less surely than a site does

[adaptation]
method = "refresh"
epochs = 8
least_crops = 50
collect_h = 0.02

[adaptation.job]
nice = 5
poll_s = 0.5

[rollout]
rings = ["1", "2", "all"]
baseline_s = 5
soak_s = 6
tick_s = 0.5

[rollout.health]
min_rate_share = 0  # how many people pass within seconds says nothing about a release
"""
_EDGE_CONFIG = """\
[fleet]
status_s = 1

[releases]
probation_batches = 20
probation_s = 10
"""


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """Everything that is decided before the first process starts.

    Attributes:
        site: The simulated site.
        release: Folder of the release that server and edges run.
        out: Folder of records, logs, crops and the contact sheet; exists and is empty.
        watch_s: For so long the cameras are watched before the refresh, and again after it, seconds.
        has_refresh: The network is refreshed in between; else the demo ends before.
    """

    site: SiteConfig
    release: Path
    out: Path
    watch_s: float
    has_refresh: bool = True

    @property
    def camids(self) -> tuple[str, ...]:
        """The site's cameras; each has an edge of its own."""
        return SimulatedSite(self.site).camids

    @property
    def port_file(self) -> Path:
        """Where the server says which port it got."""
        return self.out / "server.port"

    @property
    def console_file(self) -> Path:
        """Where the server says where its console is; it is there before the port."""
        return self.out / "console.url"

    @property
    def token_file(self) -> Path:
        """The token with which to log in to the console."""
        return self.out / "console.token"

    @property
    def operator(self) -> str:
        """The demo's name, as the server knows it."""
        return "demo"

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.out / "server"

    @property
    def credentials(self) -> Path:
        """What the demo itself shows when it asks the server."""
        return self.out / "demo.credentials"

    @property
    def crops(self) -> Path:
        """The edges' best crops; the contact sheet is made of them."""
        return self.out / "crops"

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.out / "contact-sheet.png"

    @property
    def played(self) -> SiteConfig:
        """The site as its cameras play it."""
        most_s = 2.0 * self.watch_s + _MOST_REFRESH_S if self.has_refresh else self.watch_s
        return self.site.model_copy(update={"duration_s": most_s})

    @property
    def limit_s(self) -> float:
        """Longest time until the edges have sent what they saw in the first `watch_s`."""
        return 120.0 + 4.0 * self.watch_s

    @property
    def refresh_limit_s(self) -> float:
        """Longest time that the refresh may take."""
        return _MOST_REFRESH_S

    @property
    def server_config(self) -> Path:
        """The server's settings."""
        return self.out / "server.toml"

    @property
    def edge_config(self) -> Path:
        """The edges' settings."""
        return self.out / "edge.toml"

    def write_configs(self) -> None:
        """Write both."""
        self.server_config.write_text(_SERVER_CONFIG, encoding="utf-8")
        self.edge_config.write_text(_EDGE_CONFIG, encoding="utf-8")

    def security_commands(self) -> list[list[str]]:
        """Make the site's certificates, a bundle for each edge, and the demo's credentials, with which it refreshes."""
        enroll, data = _python("server", "enroll"), ("--data", str(self.data))
        return [
            [*_python("server", "init"), *data, "--host", "127.0.0.1"],
            [*enroll, "operator", self.operator, *data, "--out", str(self.credentials)],
            *(
                [*enroll, "edge", f"edge-{camid}", *data, "--cameras", camid, "--out", str(self._bundle(camid))]
                for camid in self.camids
            ),
        ]

    def server_command(self) -> list[str]:
        """Starts the server."""
        return [
            *_python("server", "run"),
            *("--config", str(self.server_config)),
            *("--data", str(self.data), "--listen", "127.0.0.1:0"),
            *("--port-file", str(self.port_file), "--release", str(self.release)),
            *("--metrics", "127.0.0.1:0"),
            *("--web", "127.0.0.1:0", "--web-url-file", str(self.console_file)),
        ]

    def edge_command(self, camid: str, address: str, *, starts_at_s: float) -> list[str]:
        """Starts the edge of one camera, whose first frame comes at a moment, Unix time."""
        camera = f"{camid}={self.camera_uri(camid, starts_at_s=starts_at_s)}"
        return [
            *_python("edge", "run"),
            *("--config", str(self.edge_config)),
            *("--bundle", str(self._bundle(camid)), "--camera", camera),
            *("--server", address, "--release", str(self.release), "--detector", "truth"),
            *("--spool", str(self.out / f"spool-{camid}.sqlite"), "--crops", str(self.crops)),
            *("--start-time", moment_of(starts_at_s).isoformat(), "--threads", "1", "--json"),
            *(() if self.has_refresh else ("--once",)),
            *("--metrics", "127.0.0.1:0"),  # several edges on one machine
        ]

    def sheet_command(self, address: str) -> list[str]:
        """Draws the contact sheet."""
        return [
            *_python("server", "sheet"),
            *("--server", address, "--credentials", str(self.credentials)),
            *("--crops", str(self.crops), "--out", str(self.sheet)),
        ]

    def _bundle(self, camid: str) -> Path:
        return self.out / f"edge-{camid}.bundle"

    def camera_uri(self, camid: str, *, starts_at_s: float = 0.0) -> str:
        """The camera as `edge.sources` reads it, as fast as it is read unless a moment is given for its first frame."""
        keys = {
            "camera": camid,
            "seed": self.site.seed,
            "people": self.site.num_people,
            "cameras": self.site.num_cameras,
            "duration_s": self.played.duration_s,
            "fps_hz": self.site.fps_hz,
            "width_px": self.site.width_px,
            "height_px": self.site.height_px,
            "difficulty": self.site.difficulty,
            "starts_at_s": starts_at_s,
        }
        return f"sim:?{urlencode(keys)}"


def moment_of(time_s: float) -> datetime:
    """A moment of Unix time."""
    return datetime.fromtimestamp(time_s, timezone.utc)


def _python(module: str, command: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, command
