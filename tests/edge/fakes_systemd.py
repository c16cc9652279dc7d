"""A systemd that only listens."""

from __future__ import annotations

import socket
from pathlib import Path


class FakeSystemd:
    """Owns a notification socket.

    Args:
        path: Where it is made.
    """

    def __init__(self, path: Path | str) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address.replace("@", "\0", 1))

    def heard(self, *, timeout_s: float = 0.0) -> list[str]:
        """What has come since the last call; waits for the first message for `timeout_s`."""
        states: list[str] = []
        self._socket.settimeout(timeout_s)
        try:
            while True:
                states.append(self._socket.recv(4096).decode())
                self._socket.settimeout(0.0)
        except (TimeoutError, BlockingIOError):
            return states

    def close(self) -> None:
        self._socket.close()
