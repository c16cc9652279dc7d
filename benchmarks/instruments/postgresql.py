"""A real PostgreSQL: Debian's programs, a cluster in a folder of its own, a free port on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

_PROGRAMS = Path("/usr/lib/postgresql")
_START_TIMEOUT_S = 30.0
_POLL_S = 0.1


class PostgresqlMissingError(Exception):
    """There is no PostgreSQL on this machine, or it cannot be started; the message says why."""


class Postgresql:
    """A running server; `start` makes one.

    Args:
        process: The server, a child of this process.
        port: On 127.0.0.1.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port
        self._numbers = count(1)

    def new_database(self) -> str:
        """Make an empty database, which goes with the server. Returns its URL for `storage.url`."""
        name = f"osprey{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def url(self, name: str) -> str:
        """URL of a database."""
        return f"postgresql://osprey@127.0.0.1:{self._port}/{name}"

    def kill(self) -> None:
        """Let the server crash, as at a power cut; it is gone for good."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()


@contextmanager
def start_postgresql() -> Iterator[Postgresql]:
    """Run a server for the length of the block, with a new, empty cluster and durable commits.

    Raises:
        PostgresqlMissingError: It is not installed, or does not start.
    """
    programs = _find_programs()
    folder = Path(tempfile.mkdtemp(prefix="osprey-postgresql-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        _run_initdb(programs, folder / "cluster")
        port = _free_port()
        process = subprocess.Popen(_server_command(programs, folder, port), **_quiet())
        try:
            _wait_until_ready(process, port)
            yield Postgresql(process, port)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing in it is wanted any more
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_programs() -> Path:
    """The folder of the newest version's programs."""
    found = sorted(_PROGRAMS.glob("*/bin/initdb"), key=lambda path: float(path.parent.parent.name))
    if not found:
        raise PostgresqlMissingError(f"no PostgreSQL under {_PROGRAMS}: on Debian, apt-get install postgresql")
    return found[-1].parent


def _run_initdb(programs: Path, cluster: Path) -> None:
    options = ["-U", "osprey", "-A", "trust", "-E", "UTF8", "--no-sync"]
    command = [str(programs / "initdb"), "-D", str(cluster), *options]
    done = subprocess.run(command, check=False, **{**_quiet(), "stderr": subprocess.PIPE, "text": True})
    if done.returncode:
        raise PostgresqlMissingError(f"initdb failed: {done.stderr.strip()}")


def _server_command(programs: Path, folder: Path, port: int) -> list[str]:
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "50"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(folder / "cluster"), "-p", str(port), *options]


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(f"postgresql://osprey@127.0.0.1:{port}/postgres").close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise PostgresqlMissingError(f"PostgreSQL does not start: {error}") from None
        time.sleep(_POLL_S)


def _quiet() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then as the user that Debian made for it."""
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **user}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
