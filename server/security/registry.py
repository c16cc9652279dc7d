"""Who was enrolled, until when, and who was revoked: one private JSON file beside the site's CA.

A certificate or token that is not in here is refused, also if the CA signed it. The commands change the file under a
lock; the running server looks at its time stamp with each question, so that a revocation needs no restart.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from reid.credentials import CredentialsKind, check_private
from reid.files import write_atomic
from server.errors import SecurityError

_PRIVATE = 0o600


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """One certificate that was given out.

    Attributes:
        serial: Of the certificate, hexadecimal.
        kind: What its holder is.
        name: Its holder.
        camids: Cameras of an edge.
        ends_at_s: When it ends, seconds since the Unix epoch.
        token_sha256: Hash of an operator's or viewer's token; empty for an edge.
        revoked_at_s: When it was revoked; 0 while it is good.
    """

    serial: str
    kind: CredentialsKind
    name: str
    camids: tuple[str, ...]
    ends_at_s: int
    token_sha256: str = ""
    revoked_at_s: int = 0

    def has_token(self, token: str) -> bool:
        """Whether a token is the one given out; takes the same time for every wrong one."""
        return hmac.compare_digest(hash_token(token), self.token_sha256)


def hash_token(token: str) -> str:
    """What is stored of a token: SHA-256, which is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Registry:
    """The file.

    Args:
        path: Where it lies; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._enrolments: Mapping[str, Enrolment] = {}

    def find(self, serial: str) -> Enrolment | None:
        """The enrolment of a certificate, as the file is now; None if it was never given out.

        Raises:
            SecurityError: The file cannot be read.
        """
        self._refresh()
        return self._enrolments.get(serial)

    def list_all(self) -> list[Enrolment]:
        """All enrolments, oldest first.

        Raises:
            SecurityError: The file cannot be read.
        """
        self._refresh()
        return list(self._enrolments.values())

    def newest(self, kind: CredentialsKind, name: str) -> Enrolment:
        """The latest enrolment of somebody.

        Raises:
            SecurityError: Nobody of that kind and name was enrolled.
        """
        found = [item for item in self.list_all() if (item.kind, item.name) == (kind, name)]
        if not found:
            raise SecurityError(f"{kind} {name} was never enrolled here: see 'osprey-server enroll list'")
        return found[-1]

    def add(self, enrolment: Enrolment) -> None:
        """Note a certificate before it is given out.

        Raises:
            SecurityError: The file cannot be read.
            OSError: It cannot be written.
        """
        with self._locked():
            self._write([*self.list_all(), enrolment])

    def revoke(self, kind: CredentialsKind, name: str, *, serial: str = "", now_s: int) -> int:
        """Revoke all certificates of somebody, or one.

        Returns:
            How many were good until now.

        Raises:
            SecurityError: There is no such certificate, or the file cannot be read.
            OSError: It cannot be written.
        """

        def is_meant(item: Enrolment) -> bool:
            return (item.kind, item.name) == (kind, name) and serial in ("", item.serial)

        with self._locked():
            meant = [item for item in self.list_all() if is_meant(item)]
            if not meant:
                which = f" with serial {serial}" if serial else ""
                raise SecurityError(f"{kind} {name}{which} was never enrolled here: see 'osprey-server enroll list'")
            serials = {item.serial for item in meant if not item.revoked_at_s}
            self._write(
                [replace(item, revoked_at_s=now_s) if item.serial in serials else item for item in self.list_all()]
            )
        return len(serials)

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_ino)
            if stamp != self._stamp:
                check_private(self._path)
                items = json.loads(self._path.read_text(encoding="utf-8"))
                made = [Enrolment(**{**item, "camids": tuple(item["camids"])}) for item in items]
                self._enrolments = {item.serial: item for item in made}
                self._stamp = stamp
        except FileNotFoundError:
            self._enrolments, self._stamp = {}, None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SecurityError(f"the list of who is enrolled, {self._path}, cannot be read: {error}") from None

    def _write(self, enrolments: list[Enrolment]) -> None:
        content = json.dumps([asdict(item) for item in enrolments], indent=2) + "\n"
        write_atomic(self._path, content.encode(), mode=_PRIVATE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the commands; the server only reads."""
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
