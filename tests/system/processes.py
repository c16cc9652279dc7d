"""Real processes over loopback: a server and edges that tests start, kill and start again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.release import Release
from server.api.messages import ServerStatus
from server.client import SearchClient

LIMIT_S = 90.0


class ServerProcess:
    """`osprey-server run` on a port that stays the same over restarts."""

    def __init__(self, folder: Path, release: Release) -> None:
        self.data = folder / "server"
        self._folder, self._release = folder, release
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        words = ["run", "--data", self.data, "--listen", self.address, "--release", self._release.folder]
        words.append("--insecure")
        self._process = spawn("server", *words, "--port-file", port_file, log=self._folder / "server.log")
        wait_until(port_file.is_file, "the server listens")
        self.address = f"127.0.0.1:{port_file.read_text().strip()}"

    def kill(self) -> None:
        """As a power loss would: nothing is flushed, nothing is said."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def status(self) -> ServerStatus:
        with SearchClient(self.address) as client:
            return client.status()

    def num_stored(self) -> int:
        return self.status().totals.num_observations

    def person_of_tracklets(self) -> dict[int, int]:
        with SearchClient(self.address) as client:
            return {tracklet.tracklet_id: tracklet.person_id for tracklet in client.iter_tracklets()}

    def stored_sequences(self) -> list[int]:
        """Sequence numbers in the records, as they lie on the disk."""
        with sqlite3.connect(self.data / "records.db") as records:
            return [row[0] for row in records.execute("SELECT seq FROM observations ORDER BY seq")]


class EdgeProcess:
    """`osprey-edge run --once` on one camera of the simulated site."""

    def __init__(self, folder: Path, release: Release, address: str) -> None:
        self.spool = folder / "edge.spool"
        self._out = folder / "edge.out"
        words = ["run", "--camera", "c1=sim:?seed=3&people=6&cameras=1&camera=c1&duration_s=20", "--detector", "truth"]
        words += ["--server", address, "--release", str(release.folder), "--edge-id", "e1", "--spool", str(self.spool)]
        words += ["--once", "--json", "--threads", "1", "--drain-timeout", "60"]
        self._process = spawn("edge", *words, out=self._out, log=folder / "edge.log")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def report(self) -> dict[str, Any]:
        """Wait for its end and read what it reported."""
        assert self._process.wait(LIMIT_S) == 0
        report: dict[str, Any] = json.loads(self._out.read_text().splitlines()[-1])
        return report


def spawn(module: str, *words: object, log: Path, out: Path | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as log_file, (out or Path(os.devnull)).open("wb") as out_file:
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)], stdout=out_file, stderr=log_file, env=environment
        )


def wait_until(is_done: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not is_done():
        assert time.monotonic() < end_s, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.05)
