"""Serves the console over HTTPS in the server's event loop, with the site's certificate, renewed without restart."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from reid.errors import ConfigError
from server.errors import SecurityError
from server.security.authority import Authority
from server.web.settings import WebSettings

logger = structlog.get_logger(__name__)

_RENEWAL_S = 60.0
"""Between two looks at the certificate."""
_STOP_S = 2
"""Pages under way may take so long to end at shutdown."""
_BACKLOG = 128


class Certificate:
    """What browsers are shown.

    Args:
        authority: Of the site.

    Raises:
        SecurityError: The site has no certificate, or it cannot be read.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._stamp = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.refresh()

    def refresh(self) -> None:
        """Show the certificate that is there now, from the next connection on.

        Raises:
            SecurityError: It cannot be read; the former one is shown.
        """
        self._authority.server_pair()  # complains about a missing file, and one that others can read
        stamp, folder = self._authority.server_stamp(), self._authority.folder
        if stamp == self._stamp:
            return
        try:
            self.context.load_cert_chain(folder / "server.crt", folder / "server.key")
        except (OSError, ssl.SSLError) as error:
            raise SecurityError(f"the server's certificate in {folder} cannot be used: {error}") from None
        self._stamp = stamp


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to the server that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Listener:
    """Takes the console's connections. `run` in a task.

    Args:
        app: The console.
        settings: Where to listen.
        authority: For the certificate; None for plain HTTP within this machine.

    Raises:
        ConfigError: The address cannot be listened on.
        SecurityError: The site has no certificate, or it cannot be read.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, authority: Authority | None) -> None:
        self._certificate = Certificate(authority) if authority else None
        self._socket = _bind(settings.listen)
        host = settings.listen.rpartition(":")[0]
        self.url = f"{'https' if authority else 'http'}://{host}:{self._socket.getsockname()[1]}"
        certificate = self._certificate
        make_context: Callable[..., ssl.SSLContext] | None = (lambda *_: certificate.context) if certificate else None
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                ssl_context_factory=make_context,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=settings.most_connections,
                timeout_graceful_shutdown=_STOP_S,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`, or cancelled."""
        renewing = asyncio.create_task(self._renew())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            renewing.cancel()
            self._socket.close()

    def stop(self) -> None:
        """End soon."""
        self._server.should_exit = True

    async def _renew(self) -> None:
        while self._certificate is not None:
            await asyncio.sleep(_RENEWAL_S)
            try:
                await asyncio.to_thread(self._certificate.refresh)
            except (OSError, SecurityError) as error:
                logger.error("the console shows its former certificate", error=str(error))


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
    except OSError as error:
        raise ConfigError(f"cannot serve the console on {listen}: {error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot serve the console on {listen}: is another server using it? ({error})") from None
    return bound
