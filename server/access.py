"""How a command reaches the server: the two options that every command has, and the client made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from reid.credentials import read_credentials
from server.client import SearchClient
from server.identity_client import IdentityClient
from server.settings import DEFAULT_ADDRESS

ClientT = TypeVar("ClientT", bound=SearchClient)

ServerOption = Annotated[
    str,
    typer.Option("--server", help=f"HOST:PORT of a running server; default: the credentials', or {DEFAULT_ADDRESS}."),
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(envvar="OSPREY_CREDENTIALS", help="File that 'osprey-server enroll' made; needed with TLS."),
]


def open_client(server: str, credentials: Path | None) -> IdentityClient:
    """A client for the server that the options name.

    Args:
        server: HOST:PORT; empty for the credentials' own, or this machine's without any.
        credentials: None for a server on this machine without TLS.

    Raises:
        ConfigError: No credentials, and the server is another machine.
        CredentialsError: They are damaged, readable by others, or over.
    """
    return open_client_of(IdentityClient, server, credentials)


def open_client_of(kind: type[ClientT], server: str, credentials: Path | None) -> ClientT:
    """A client of another service; else as `open_client`."""
    if credentials is None:
        return kind(server or DEFAULT_ADDRESS)
    own = read_credentials(credentials)
    return kind(server or own.server, credentials=own)
