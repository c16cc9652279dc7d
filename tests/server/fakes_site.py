"""A site with certificates, and credentials that it gave out."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from reid.credentials import Credentials, CredentialsKind
from server.security.authority import Authority


def now() -> datetime:
    return datetime.now(timezone.utc)


def make_site(data: Path) -> Authority:
    """A CA and a server certificate for loopback."""
    authority = Authority(data)
    authority.make(["127.0.0.1", "localhost"], site="test", ca_days=30, server_days=20, now=now())
    return authority


def enroll(
    authority: Authority, kind: CredentialsKind, name: str, *camids: str, days: int = 5, server: str = "127.0.0.1:7070"
) -> Credentials:
    """Credentials that end after some days; less than 0 for ended ones."""
    return authority.enroll(kind, name, camids, server=server, days=days, now=now())
