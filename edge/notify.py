"""Tells systemd how the agent is: ready, alive, stopping. The protocol of sd_notify(3), one datagram a message.

Alive means more than that the process runs: a ping goes out only while every loop of the pipeline turns. When one
hangs, in a driver or on a disk, the pings stop, and systemd starts the agent again. A camera or a server that does not
answer is no such case: their loops turn and try again. Without systemd nothing is sent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping

import structlog

logger = structlog.get_logger(__name__)

_PINGS_PER_LIMIT = 4
"""Pings within the time after which systemd gives the agent up; it recommends two."""


class ServiceManager:
    """The other end of `NOTIFY_SOCKET`.

    Args:
        address: Path of a datagram socket, `@` in front for an abstract one; empty for nobody.
        watchdog_s: Without a ping for so long the agent is started again; 0 for no watchdog.
        clock: Monotonic seconds.
    """

    def __init__(
        self, address: str = "", *, watchdog_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._clock = clock
        self._next_ping_s = clock()
        self._is_hanging = False
        self._is_stopping = False

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], *, pid: int) -> ServiceManager:
        """What systemd has said in a process's environment.

        Args:
            environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read.
            pid: Of this process; the watchdog of another one is none of ours.
        """
        limit_us = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(limit_us) / 1e6 if limit_us.isdecimal() and is_meant else 0.0
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s=watchdog_s)

    def ready(self) -> None:
        """The agent has started."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The agent has begun to stop; said once, and the watchdog is fed no more."""
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1")

    def watch(self, silent_s: float) -> None:
        """Ping when a ping is due and the pipeline is alive; to be called more often than pings are due.

        Args:
            silent_s: Longest time for which a loop of the pipeline has not turned.
        """
        if not self._watchdog_s or self._is_stopping:
            return
        if silent_s >= self._watchdog_s / 2:
            self._note_hanging(silent_s)
        elif self._clock() >= self._next_ping_s:
            self._is_hanging = False
            self._next_ping_s = self._clock() + self._watchdog_s / _PINGS_PER_LIMIT
            self._send("WATCHDOG=1")

    def _note_hanging(self, silent_s: float) -> None:
        if not self._is_hanging:
            logger.error("pipeline hangs: the watchdog is not fed any more", silent_s=round(silent_s, 1))
        self._is_hanging = True

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(1.0)
                channel.sendto(state.encode(), self._address)
        except OSError as error:  # systemd judges by what it hears; the agent has better things to do than to fail here
            logger.warning("systemd cannot be told", state=state, reason=str(error))
