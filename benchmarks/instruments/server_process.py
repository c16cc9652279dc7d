"""Servers as processes of their own: started, watched, stopped or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

_START_S = 300.0


class ServerProcess:
    """A process that writes its port into a file once it takes calls.

    Args:
        words: After `python -m`; `{port_file}` stands for that file.
        folder: For the port file and the log.
    """

    def __init__(self, words: list[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "server.log"
        self._port_file = folder / "port"
        self._words = [word.replace("{port_file}", str(self._port_file)) for word in words]
        self.address = ""

    def start(self) -> float:
        """Start it.

        Returns:
            Seconds until it took calls.

        Raises:
            RuntimeError: It ended, or took no calls in time.
        """
        self._port_file.unlink(missing_ok=True)
        begin_s = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", *self._words], stdout=log, stderr=log)
        while not self._port_file.is_file():
            if self._process.poll() is not None or time.monotonic() > begin_s + _START_S:
                raise RuntimeError(f"the server did not start; the end of its log: {self.log.read_text()[-2000:]}")
            time.sleep(0.01)
        self.address = f"127.0.0.1:{self._port_file.read_text().strip()}"
        return time.monotonic() - begin_s

    def stop(self) -> int:
        """End it as an operator would.

        Returns:
            Its exit status.
        """
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        """End it as a power loss would; safe to call twice."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """Processor time that it used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def memory_mb(self) -> float:
        """Its resident memory, 10^6 bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6


def osprey_server(data: Path, *, listen: str = "127.0.0.1:0", more: tuple[str, ...] = ()) -> ServerProcess:
    """The real server on a data folder, with its defaults."""
    words = [
        "server",
        "run",
        "--insecure",
        "--data",
        str(data),
        "--listen",
        listen,
        "--port-file",
        "{port_file}",
        "--insecure",
    ]
    return ServerProcess([*words, *more], data.parent / f"{data.name}_process")
