"""The site's authority: a folder with the CA, the server's certificate and the list of who is enrolled.

    security/ca.crt ca.key         the site's CA
             server.crt server.key what the server shows; read again when renewed, without restart
             enrolled.json         see `registry`

All private files have mode 0600, and are refused when others can read them. The CA's key is needed to enrol and renew
only: it may be kept elsewhere and put back for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from reid.credentials import Credentials, CredentialsKind, check_private
from reid.errors import ConfigError
from reid.files import write_atomic
from reid.types import check_name
from server.errors import SecurityError
from server.releases.repository import ReleaseRepository
from server.security.certificates import (
    KeyPair,
    end_of,
    hosts_of,
    make_ca,
    make_client_certificate,
    make_server_certificate,
    serial_of,
)
from server.security.registry import Enrolment, Registry, hash_token

FOLDER = "security"
_PRIVATE = 0o600
_TOKEN_BYTES = 32


class Authority:
    """The certificates of one site.

    Args:
        data: The server's data folder.
    """

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER
        self.registry = Registry(self.folder / "enrolled.json")

    @property
    def is_made(self) -> bool:
        """Whether `make` was called once."""
        return (self.folder / "ca.crt").is_file()

    def make(self, hosts: Sequence[str], *, site: str, ca_days: int, server_days: int, now: datetime) -> None:
        """Make the CA and the server's certificate.

        Raises:
            SecurityError: They exist: every bundle given out would be void.
            OSError: They cannot be written.
        """
        if self.is_made:
            raise SecurityError(
                f"{self.folder} holds the CA of a site already, and a new one would void every bundle given out: use "
                "'osprey-server renew server' for the server's certificate, or remove the folder to begin again"
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        ca = make_ca(site, days=ca_days, now=now)
        self._write("server", make_server_certificate(ca, hosts, days=server_days, now=now))
        self._write("ca", ca)

    def renew_server(self, hosts: Sequence[str], *, days: int, now: datetime) -> None:
        """Give the server a new certificate, for the same hosts if none are named.

        Raises:
            SecurityError: There is no CA here.
            OSError: It cannot be written.
        """
        ca = self._read("ca")
        self._write("server", make_server_certificate(ca, hosts or self.hosts(), days=days, now=now))

    def ca_pem(self) -> bytes:
        """The CA's certificate.

        Raises:
            SecurityError: There is none here.
        """
        return self._read_file("ca.crt")

    def server_pair(self) -> KeyPair:
        """What the server shows.

        Raises:
            SecurityError: There is none here, or others can read its key.
        """
        return self._read("server")

    def server_stamp(self) -> int:
        """Changes when the server's certificate is renewed."""
        return (self.folder / "server.crt").stat().st_mtime_ns

    def server_ends_at_s(self) -> int:
        """When the server's certificate ends, seconds since the Unix epoch.

        Raises:
            SecurityError: There is none here.
        """
        return end_of(self._read_file("server.crt"))

    def hosts(self) -> list[str]:
        """Names and addresses that the server's certificate is for.

        Raises:
            SecurityError: There is none here.
        """
        return hosts_of(self._read_file("server.crt"))

    def enroll(
        self, kind: CredentialsKind, name: str, camids: Sequence[str] = (), *, server: str, days: int, now: datetime
    ) -> Credentials:
        """Make credentials for an edge or a person; they are known to a running server at once.

        Args:
            kind: What the holder is.
            name: The holder.
            camids: Cameras of an edge; none otherwise.
            server: HOST:PORT for the holder; its host must stand in the server's certificate.
            days: How long they are good.
            now: With zone.

        Raises:
            ConfigError: A name is not fit, or an edge has no camera.
            SecurityError: There is no CA here, or the server's certificate is not for that host.
            OSError: The list of who is enrolled cannot be written.
        """
        _check_names(kind, name, camids)
        self._check_server(server)
        pair = make_client_certificate(self._read("ca"), kind, name, camids, days=days, now=now)
        token = "" if kind == "edge" else secrets.token_urlsafe(_TOKEN_BYTES)
        ends_at_s = end_of(pair.certificate_pem)
        self.registry.add(
            Enrolment(
                serial=serial_of(pair.certificate_pem),
                kind=kind,
                name=name,
                camids=tuple(camids),
                ends_at_s=ends_at_s,
                token_sha256=hash_token(token) if token else "",
            )
        )
        return Credentials(
            kind=kind,
            name=name,
            server=server,
            ends_at_s=ends_at_s,
            ca_pem=self.ca_pem().decode(),
            certificate_pem=pair.certificate_pem.decode(),
            key_pem=pair.key_pem.decode(),
            camids=tuple(camids),
            token=token,
            release_root=self._release_root() if kind == "edge" else "",
        )

    def renew(self, kind: CredentialsKind, name: str, *, server: str, days: int, now: datetime) -> Credentials:
        """Make new credentials like the latest of this holder, which stay good until they end or are revoked.

        Raises:
            SecurityError: Nobody of that name was enrolled, or the latest certificate was revoked.
        """
        newest = self.registry.newest(kind, name)
        if newest.revoked_at_s:
            raise SecurityError(
                f"{kind} {name} was revoked: use 'osprey-server enroll {kind} {name}' to let it in again"
            )
        return self.enroll(kind, name, newest.camids, server=server, days=days, now=now)

    def _release_root(self) -> str:
        repository = ReleaseRepository(self.folder.parent)
        repository.make()
        return repository.root_text()

    def _check_server(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f"server {server!r}: wanted HOST:PORT")
        if host.strip("[]") not in self.hosts():
            raise SecurityError(
                f"the server's certificate is for {', '.join(self.hosts())}, not for {host}: name one of these with "
                f"--server, or add it with 'osprey-server renew server --host {host} …'"
            )

    def _write(self, name: str, pair: KeyPair) -> None:
        write_atomic(self.folder / f"{name}.key", pair.key_pem, mode=_PRIVATE)
        write_atomic(self.folder / f"{name}.crt", pair.certificate_pem)

    def _read(self, name: str) -> KeyPair:
        certificate = self._read_file(f"{name}.crt")
        key = self._read_file(f"{name}.key")
        check_private(self.folder / f"{name}.key")
        return KeyPair(certificate_pem=certificate, key_pem=key)

    def _read_file(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise SecurityError(
                f"cannot read {self.folder / name} ({error.strerror}): 'osprey-server init --data "
                f"{self.folder.parent}' makes the certificates of a site; to try things out within this machine, run "
                "the server with --insecure"
            ) from None


def _check_names(kind: CredentialsKind, name: str, camids: Sequence[str]) -> None:
    check_name(name, what=f"name of the {kind}")
    for camid in camids:
        check_name(camid, what=f"camera of edge {name}")
    if kind == "edge" and not camids:
        raise ConfigError(f"edge {name} needs at least one camera: --cameras entrance,hall")
    if len(set(camids)) < len(camids):
        raise ConfigError(f"edge {name}: a camera is named twice in {','.join(camids)}")
