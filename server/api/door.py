"""How callers come in: over TLS with a certificate of the site, or in plain text on this machine only.

The server's certificate is looked at again with each handshake, so that a renewed one is shown without restart. Who was
refused goes to the audit log. An edge tries again every few seconds: the same refusal is written once an hour.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import grpc
import structlog

from reid.errors import ConfigError
from server.api.authorization import Authorization, watch_callers
from server.errors import AuthenticationError, SecurityError, StorageError
from server.security.authority import Authority
from server.security.callers import Caller, Gate
from server.settings import ServerSettings
from server.storage.records import AuditEntry

logger = structlog.get_logger(__name__)

_WARN_DAYS = 30
_DAY_S = 86_400
_MOST_REFUSALS = 256
"""Waiting for the audit log; beyond, refusals stand in the server's log only."""
_MOST_REFUSALS_OF_EDGE = 8
"""An hour in the audit log."""
_HOUR_S = 3600.0


class EdgeStreams(Protocol):
    """A service with open streams of edges."""

    def callers(self) -> dict[str, Caller]:
        """Who opened them, by edge_id."""

    def end(self, edge_id: str, error: AuthenticationError) -> None:
        """End the stream of an edge."""


class PlainDoor:
    """No TLS and no questions. `ServerSettings.insecure`; `check_listen` sees to it that only this machine gets in."""

    interceptors: Sequence[grpc.aio.ServerInterceptor] = ()

    def listen(self, server: grpc.aio.Server, address: str) -> int:
        """Take calls at an address; gives the port.

        Raises:
            ConfigError: It cannot be listened on.
        """
        logger.warning("no TLS and no roles: anybody on this machine can read and write", listen=address)
        return _listen(partial(server.add_insecure_port, address), address)

    async def watch(self, *services: EdgeStreams) -> None:
        """Nobody can be revoked."""


class TlsDoor:
    """Both ends show a certificate of the site.

    Args:
        settings: Where the site's certificates are, and limits.
        append_audit: Adds to the audit log; called in a thread.

    Raises:
        SecurityError: The site has no certificates yet, or they cannot be read.
    """

    def __init__(self, settings: ServerSettings, append_audit: Callable[[AuditEntry], None]) -> None:
        self._authority = Authority(settings.data)
        self._append_audit = append_audit
        self._every_s = settings.revocation_check_s
        self._gate = Gate(self._authority.registry, time.time)
        self._refusal_writer = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        self._refusal_turns = threading.Semaphore(_MOST_REFUSALS)
        self._written: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._hour_began_s = time.monotonic()
        self._is_stopping = False
        self._stamp = 0
        self._shown = self._read_certificate()
        self.interceptors: Sequence[grpc.aio.ServerInterceptor] = (
            Authorization(
                self._gate, max_calls_per_caller=settings.max_calls_per_caller, on_refused=self._note_refusal
            ),
        )

    def listen(self, server: grpc.aio.Server, address: str) -> int:
        """Take calls at an address; gives the port.

        Raises:
            ConfigError: It cannot be listened on.
        """
        left_days = (self._authority.server_ends_at_s() - time.time()) / _DAY_S
        if left_days < _WARN_DAYS:
            logger.warning("the server's certificate ends soon: 'osprey-server renew server'", days=round(left_days, 1))
        credentials = grpc.dynamic_ssl_server_credentials(
            self._shown,
            self._show,  # type: ignore[arg-type]  # None for "as before" is documented
            require_client_authentication=True,
        )
        return _listen(partial(server.add_secure_port, address, credentials), address)

    async def watch(self, *services: EdgeStreams) -> None:
        """End the streams of revoked edges. Runs until cancelled; then all refusals are in the audit log."""
        try:
            await asyncio.gather(
                *(watch_callers(self._gate, each.callers, each.end, every_s=self._every_s) for each in services)
            )
        finally:
            self._is_stopping = True
            self._refusal_writer.shutdown()

    def _show(self) -> grpc.ServerCertificateConfiguration | None:
        """The renewed certificate, None while it is the same. Called by gRPC with each handshake."""
        try:
            if self._authority.server_stamp() == self._stamp:
                return None
            self._shown = self._read_certificate()
        except (OSError, SecurityError) as error:
            logger.error("the server's certificate cannot be read: the former one is shown", error=str(error))
            return None
        logger.info("the server's certificate was renewed")
        return self._shown

    def _read_certificate(self) -> grpc.ServerCertificateConfiguration:
        pair = self._authority.server_pair()
        self._stamp = self._authority.server_stamp()
        return grpc.ssl_server_certificate_configuration(
            [(pair.key_pem, pair.certificate_pem)], root_certificates=self._authority.ca_pem()
        )

    def _note_refusal(self, caller: Caller | None, method: str, reason: str) -> None:
        if caller is None or self._is_stopping or (caller.kind == "edge" and not self._is_news(caller, method, reason)):
            return
        if not self._refusal_turns.acquire(blocking=False):
            return
        entry = AuditEntry(
            time_us=time.time_ns() // 1000,
            actor=caller.actor,
            what=method.rpartition("/")[2],
            subject="",
            outcome=f"refused: {reason}",
        )
        self._refusal_writer.submit(self._write_refusal, entry)

    def _is_news(self, edge: Caller, method: str, reason: str) -> bool:
        """Whether this was not written in this hour, and few others of the edge were: it may make up any reason."""
        if time.monotonic() - self._hour_began_s >= _HOUR_S:
            self._written.clear()
            self._hour_began_s = time.monotonic()
        written = self._written[edge.name]
        is_news = (method, reason) not in written and len(written) < _MOST_REFUSALS_OF_EDGE
        if is_news:
            written.add((method, reason))
        return is_news

    def _write_refusal(self, entry: AuditEntry) -> None:
        try:
            self._append_audit(entry)
        except StorageError as error:
            logger.error("a refusal could not be written to the audit log", error=str(error))
        finally:
            self._refusal_turns.release()


def open_door(settings: ServerSettings, append_audit: Callable[[AuditEntry], None]) -> PlainDoor | TlsDoor:
    """The door that the settings ask for.

    Raises:
        SecurityError: TLS, but the site has no certificates yet, or they cannot be read.
    """
    return PlainDoor() if settings.insecure else TlsDoor(settings, append_audit)


def _listen(add_port: Callable[[], int], address: str) -> int:
    try:
        return add_port()
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}: is another server using it? ({error})") from None
