"""What a client needs to talk to the server of its site, in one private file: an edge's bundle, a person's credentials.

JSON: the site's CA certificate, the client's certificate and private key (PEM), the server's address, for an edge its
cameras, for a person a token. A SHA-256 over all of it tells damage from a wrong key. Made by `osprey-server enroll`.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from reid.errors import CredentialsError
from reid.files import write_atomic

CredentialsKind = Literal["edge", "operator", "viewer"]

_FORMAT = "osprey-credentials-1"
_ADDED_LATER = {"release_root"}
"""Fields that files of earlier versions lack."""
_DAY_S = 86_400
_PRIVATE = 0o600


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """One client's credentials.

    Attributes:
        kind: What the holder is.
        name: The edge_id, or the person's name.
        server: HOST:PORT; HOST stands in the server's certificate.
        ends_at_s: When the certificate ends, seconds since the Unix epoch.
        ca_pem: The site's CA certificate.
        certificate_pem: The client's certificate.
        key_pem: Its private key.
        camids: Cameras that an edge may speak for.
        token: Secret of an operator or viewer; empty for an edge.
        release_root: Whose signatures on releases an edge trusts: a TUF root, JSON; empty if the bundle is older.
    """

    kind: CredentialsKind
    name: str
    server: str
    ends_at_s: int
    ca_pem: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    key_pem: str = field(repr=False)
    camids: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    release_root: str = field(default="", repr=False)

    def check_current(self, now_s: float) -> None:
        """Complain if the certificate is over.

        Raises:
            CredentialsError: It is.
        """
        if now_s >= self.ends_at_s:
            raise CredentialsError(
                f"certificate of {self.kind} {self.name} ended on {day(self.ends_at_s)}: renew it on the server with "
                f"'osprey-server renew {self.kind} {self.name} --out FILE'"
            )

    def ending_note(self, now_s: float, *, within_days: float) -> str:
        """What to say when less than `within_days` are left; empty before."""
        if self.ends_at_s - now_s > within_days * _DAY_S:
            return ""
        return (
            f"certificate of {self.kind} {self.name} ends on {day(self.ends_at_s)}: renew it in time on the server "
            f"with 'osprey-server renew {self.kind} {self.name} --out FILE'"
        )

    def check_edge(self, edge_id: str, camids: Sequence[str]) -> None:
        """Complain if an edge is not the one these were made for.

        Raises:
            CredentialsError: They are no edge's, or another edge's, or lack one of the cameras.
        """
        if self.kind != "edge":
            raise CredentialsError(f"these are credentials of {self.kind} {self.name}, wanted the bundle of an edge")
        if edge_id != self.name:
            raise CredentialsError(f"the bundle is for edge {self.name}, but edge_id is {edge_id!r}: leave edge_id out")
        missing = [camid for camid in camids if camid not in self.camids]
        if missing:
            raise CredentialsError(
                f"the bundle of edge {self.name} is for cameras {', '.join(self.camids)}, not {', '.join(missing)}: "
                f"enrol it again with 'osprey-server enroll edge {self.name} --cameras …'"
            )


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Write the file, readable by its owner alone.

    Raises:
        OSError: The folder is missing or the disk is full.
    """
    content = asdict(credentials)
    document = {"format": _FORMAT, "sha256": _digest(content), **content}
    write_atomic(path, (json.dumps(document, indent=2) + "\n").encode(), mode=_PRIVATE)


def read_credentials(path: Path) -> Credentials:
    """Read such a file.

    Raises:
        CredentialsError: It is missing, damaged, of another format, or readable by others.
    """
    try:
        check_private(path)
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"cannot read credentials {path}: {error.strerror}") from None
    except ValueError:
        raise CredentialsError(f"{path} is damaged or no credentials file: fetch it again") from None
    if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
        raise CredentialsError(f"{path} is no credentials file of this version: wanted format {_FORMAT}")
    digest = document.pop("sha256", None)
    known = {item.name for item in fields(Credentials)}
    if digest != _digest(document) or not known - _ADDED_LATER <= set(document) <= known:
        raise CredentialsError(f"{path} is damaged: its content differs from its checksum; fetch it again")
    return Credentials(**{**document, "camids": tuple(document["camids"])})


def check_private(path: Path) -> None:
    """Complain if others than the owner can read a file.

    Raises:
        CredentialsError: They can.
        OSError: The file cannot be looked at.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CredentialsError(
            f"{path} holds a private key and others can use it (mode {mode:04o}): run 'chmod 600 {path}', and renew "
            "the credentials if somebody else may have read it"
        )


def day(time_s: float) -> str:
    """The day of a time in UTC, as holders of certificates read it."""
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
