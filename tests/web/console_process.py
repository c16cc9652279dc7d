"""A real server with its console, and a real edge on it, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode

from seeded_people import SITE
from seeded_site import SeededSite

_START_S = 100.0


class ConsoleProcess:
    """`osprey-server run --web`, with TLS, on ports of its own.

    Args:
        site: What it serves.
        folder: For its log.
        release: Folder of the configured release.
    """

    def __init__(self, site: SeededSite, folder: Path, release: Path) -> None:
        self._site, self._folder, self._release = site, folder, release
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url, self.address = "", ""

    def start(self) -> None:
        """Start it, and wait until its ports are known."""
        port_file, url_file = self._folder / "port", self._folder / "url"
        words = ["run", "--config", self._site.config, "--data", self._site.data, "--listen", "127.0.0.1:0"]
        words += ["--release", self._release, "--metrics", "", "--port-file", port_file]
        self._spawn("server", *words, "--web", "127.0.0.1:0", "--web-url-file", url_file)
        self._wait(lambda: port_file.is_file() and url_file.is_file(), "the server listens")
        self.address = f"127.0.0.1:{port_file.read_text().strip().rpartition(':')[2]}"
        self.url = url_file.read_text().strip().rstrip("/")

    def start_edge(self) -> None:
        """Start the edge of camera c4, which plays the simulated site from now on."""
        keys = {
            "camera": "c4",
            "seed": SITE.seed,
            "people": SITE.num_people,
            "cameras": SITE.num_cameras,
            "duration_s": 600.0,
            "fps_hz": SITE.fps_hz,
            "difficulty": SITE.difficulty,
            "starts_at_s": time.time(),
        }
        words = ["run", "--bundle", self._site.edge_bundle, "--camera", f"c4=sim:?{urlencode(keys)}"]
        words += ["--server", self.address, "--release", self._release, "--detector", "truth", "--threads", "1"]
        words += ["--spool", self._folder / "c4.spool", "--metrics", "127.0.0.1:0"]
        self._spawn("edge", *words, "--start-time", datetime.now(timezone.utc).isoformat())

    def stop(self) -> None:
        """Stop what was started, the last one first, and the training, which outlives its server."""
        self._site.data.with_name("stop").touch()
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # its log then says where each of its threads is
                process.wait()

    def log(self) -> str:
        """What the server logged."""
        return (self._folder / "server.log").read_text()

    def _spawn(self, module: str, *words: object) -> None:
        with (self._folder / f"{module}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *map(str, words)],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
                )
            )

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + _START_S
        while not is_done():
            assert self._processes[0].poll() is None, f"the server ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < end_s, f"not within {_START_S:g} s: {what}\n{self.log()[-3000:]}"
            time.sleep(0.05)
