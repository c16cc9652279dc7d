"""How clients reach the server: TLS with both certificates, or plain text within this machine."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from reid.credentials import Credentials
from reid.errors import ConfigError


def open_channel(
    address: str,
    credentials: Credentials | None,
    *,
    options: Sequence[tuple[str, Any]] = (),
    clock: Callable[[], float] = time.time,
) -> grpc.Channel:
    """A channel to the server; it connects with the first call.

    Args:
        address: HOST:PORT.
        credentials: None for plain text.
        options: Of the channel.
        clock: Seconds since the Unix epoch.

    Raises:
        ConfigError: No credentials, and the address is not of this machine.
        CredentialsError: The certificate has ended.
    """
    if credentials is None:
        check_plain(address)
        return grpc.insecure_channel(address, options=list(options))
    credentials.check_current(clock())
    channel_credentials = grpc.ssl_channel_credentials(
        credentials.ca_pem.encode(), credentials.key_pem.encode(), credentials.certificate_pem.encode()
    )
    if credentials.token:
        token = grpc.access_token_call_credentials(credentials.token)
        channel_credentials = grpc.composite_channel_credentials(channel_credentials, token)
    return grpc.secure_channel(address, channel_credentials, options=list(options))


def check_plain(address: str) -> None:
    """Complain if plain text would leave this machine.

    Raises:
        ConfigError: The address is another machine's.
    """
    if not is_loopback(address):
        raise ConfigError(
            f"server {address} is another machine and would be talked to in plain text: give the file that "
            "'osprey-server enroll' made (--bundle FILE for an edge, --credentials FILE for a command)"
        )


def is_loopback(address: str) -> bool:
    """True if HOST:PORT can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
