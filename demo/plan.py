"""What the demo runs: the site, the folders, and the command lines of the server and the edges."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode

from simulation.site import SimulatedSite, SiteConfig

START = datetime(2026, 1, 5, 9, 0, tzinfo=timezone.utc)
"""Time of the first frame of every camera: fixed, so that two runs of the demo are the same run."""


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """Everything that is decided before the first process starts.

    Attributes:
        site: The simulated site.
        release: Folder of the release that server and edges run.
        out: Folder of records, logs, crops and the contact sheet; exists and is empty.
    """

    site: SiteConfig
    release: Path
    out: Path

    @property
    def camids(self) -> tuple[str, ...]:
        """The site's cameras; each has an edge of its own."""
        return SimulatedSite(self.site).camids

    @property
    def num_frames(self) -> int:
        """Frames of all cameras together."""
        return len(self.camids) * SimulatedSite(self.site).num_frames

    @property
    def port_file(self) -> Path:
        """Where the server says which port it got."""
        return self.out / "server.port"

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
    def limit_s(self) -> float:
        """Longest time that the edges may take."""
        return 120.0 + 4.0 * self.site.duration_s

    def security_commands(self) -> list[list[str]]:
        """Make the site's certificates, a bundle for each edge, and credentials for the demo, which only looks."""
        enroll, data = _python("server", "enroll"), ("--data", str(self.data))
        return [
            [*_python("server", "init"), *data, "--host", "127.0.0.1"],
            [*enroll, "viewer", "demo", *data, "--out", str(self.credentials)],
            *(
                [*enroll, "edge", f"edge-{camid}", *data, "--cameras", camid, "--out", str(self._bundle(camid))]
                for camid in self.camids
            ),
        ]

    def server_command(self) -> list[str]:
        """Starts the server."""
        return [
            *_python("server", "run"),
            *("--data", str(self.data), "--listen", "127.0.0.1:0"),
            *("--port-file", str(self.port_file), "--release", str(self.release)),
            *("--metrics", "127.0.0.1:0"),
        ]

    def edge_command(self, camid: str, address: str, *, starts_at_s: float = 0.0) -> list[str]:
        """Starts the edge of one camera, whose first frame comes at a moment, Unix time."""
        camera = f"{camid}={self.camera_uri(camid, starts_at_s=starts_at_s)}"
        return [
            *_python("edge", "run"),
            *("--bundle", str(self._bundle(camid)), "--camera", camera),
            *("--server", address, "--release", str(self.release), "--detector", "truth"),
            *("--spool", str(self.out / f"spool-{camid}.sqlite"), "--crops", str(self.crops)),
            *("--start-time", START.isoformat(), "--threads", "1", "--once", "--json"),
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
            "duration_s": self.site.duration_s,
            "fps_hz": self.site.fps_hz,
            "width_px": self.site.width_px,
            "height_px": self.site.height_px,
            "difficulty": self.site.difficulty,
            "starts_at_s": starts_at_s,
        }
        return f"sim:?{urlencode(keys)}"


def _python(module: str, command: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, command
