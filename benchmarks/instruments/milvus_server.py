"""The Milvus server of the PyPI package `milvus`, which needs no container, started and stopped.

It is installed beside our environment (`make test` does it), since its client is not ours. It listens on a free port;
its inner ports are its own choice, and some are open on all interfaces.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymilvus import MilvusClient, MilvusException

_ENVIRONMENT = Path(__file__).parents[2] / ".venv" / "milvus"
_START_S = 240.0


class MilvusServerError(Exception):
    """The server cannot be started here."""


@contextmanager
def milvus_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a server until the block ends.

    Args:
        folder: For its data; what lies there from an earlier run is served again.

    Yields:
        Its URL, and the id of the process group that it and its parts belong to.

    Raises:
        MilvusServerError: It is not installed, or does not start.
    """
    command = _ENVIRONMENT / "bin" / "milvus-server"
    if not command.exists():
        raise MilvusServerError(f"{command} is not installed; 'make test' installs it where it can be had")
    programs = _ENVIRONMENT / "programs"  # unpacked once, not for each folder
    programs.mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "bin").exists():
        (folder / "bin").symlink_to(programs)
    port = _free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "--data", folder, "--proxy-port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(url, process)
        yield url, process.pid
    finally:
        _stop(process)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise MilvusServerError(f"Milvus ended with status {process.returncode} before it answered")
        try:
            client = MilvusClient(url, timeout=2)
            client.list_collections()
            client.close()
            return
        except MilvusException:
            time.sleep(0.5)
    raise MilvusServerError(f"Milvus did not answer within {_START_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: the command does not end the server that it started."""
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
